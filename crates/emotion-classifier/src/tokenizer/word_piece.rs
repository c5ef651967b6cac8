use std::collections::HashMap;

use foldhash::fast::RandomState;
use tokenizers::{AddedToken, ModelWrapper, NormalizerWrapper, PreTokenizerWrapper};

use crate::error::Result;
use crate::tokenizer::characters::{Character, Characters, Class, is_punctuation};

/// BERT's tokenization: the ids are those of the `tokenizers` library, in a small part of its time and memory, because
/// no strings are allocated and nothing beyond the needed tokens is read.
///
/// Source: `BertNormalizer`, `BertPreTokenizer` and `WordPiece` of that library, which is the reference, and which
/// tokenizes the few texts that are left to it and serves all other tokenizers.
pub(super) struct WordPieceTokenizer {
    /// Pieces that begin a word.
    first: Pieces,
    /// Pieces that continue a word, without the prefix that marks them.
    rest: Pieces,
    unknown: u32,
    most_characters: usize,
    characters: Characters,
    lowercase: bool,
    added: AddedTokens,
}

/// Pieces and their ids, and the length of the longest piece that begins with each byte.
struct Pieces {
    ids: HashMap<Box<[u8]>, u32, RandomState>,
    longest: [usize; 256],
}

impl Pieces {
    fn new() -> Self {
        Self { ids: HashMap::default(), longest: [0; 256] }
    }

    fn insert(&mut self, piece: &[u8], id: u32) {
        if let Some(first) = piece.first() {
            let longest = &mut self.longest[usize::from(*first)];
            *longest = piece.len().max(*longest);
            self.ids.insert(piece.into(), id);
        }
    }

    /// The id and the length of the longest piece that a word begins with. Pieces are valid UTF-8, so that none ends
    /// within a character.
    fn longest_of(&self, word: &[u8]) -> Option<(u32, usize)> {
        let most = self.longest[usize::from(*word.first()?)].min(word.len());
        let mut ends = (1..=most).rev().filter(|&end| word.get(end).is_none_or(|byte| byte & 0xC0 != 0x80));
        ends.find_map(|end| self.ids.get(&word[..end]).map(|&id| (id, end)))
    }
}

/// How far a text is tokenized.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// The start of the text whose ids are appended. What follows can be tokenized as if nothing were before it.
    pub bytes: usize,
    /// Whether only the library can continue.
    pub is_blocked: bool,
}

/// The text between two calls of a request's check.
const CHECKED_BYTES: usize = 1 << 16;

impl WordPieceTokenizer {
    /// The fast path of `tokenizer`, if it is BERT's and all its added tokens begin with punctuation.
    pub(super) fn of(tokenizer: &tokenizers::Tokenizer) -> Option<Self> {
        let (Some(NormalizerWrapper::BertNormalizer(normalizer)), Some(PreTokenizerWrapper::BertPreTokenizer(_))) =
            (tokenizer.get_normalizer(), tokenizer.get_pre_tokenizer())
        else {
            return None;
        };
        let ModelWrapper::WordPiece(model) = tokenizer.get_model() else { return None };
        if !normalizer.clean_text {
            return None;
        }
        let (mut first, mut rest) = (Pieces::new(), Pieces::new());
        for (piece, id) in tokenizer.get_vocab(false) {
            if let Some(piece) = piece.strip_prefix(&model.continuing_subword_prefix) {
                rest.insert(piece.as_bytes(), id);
            }
            first.insert(piece.as_bytes(), id);
        }
        Some(Self {
            unknown: *first.ids.get(model.unk_token.as_bytes())?,
            most_characters: model.max_input_chars_per_word,
            lowercase: normalizer.lowercase,
            characters: Characters::new(*normalizer),
            added: AddedTokens::of(tokenizer)?,
            first,
            rest,
        })
    }

    /// Appends the ids of a text, without special tokens around it, until there are at least `limit` ids.
    ///
    /// # Errors
    ///
    /// That of `check`, which is called now and then.
    pub(super) fn append(
        &self,
        text: &str,
        ids: &mut Vec<u32>,
        limit: usize,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Progress> {
        let (mut at, mut next_check) = (0, CHECKED_BYTES);
        // The library can continue after a space, whatever is before it.
        let (mut after_space, mut ids_before) = (0, ids.len());
        let mut word = Word::default();
        while let Some(&byte) = text.as_bytes().get(at) {
            if ids.len() >= limit && word.bytes.is_empty() {
                return Ok(Progress { bytes: at, is_blocked: false });
            }
            if at >= next_check {
                check()?;
                next_check = at + CHECKED_BYTES;
            }
            let done = match byte {
                b' ' | b'\t' | b'\n' | b'\r' => {
                    self.end_word(&mut word, ids);
                    (after_space, ids_before) = (at + 1, ids.len());
                    Some(1)
                }
                _ if byte.is_ascii_control() => Some(1),
                _ if byte.is_ascii_punctuation() => self.punctuation(&text[at..], &mut word, ids),
                _ if byte.is_ascii() => {
                    let byte = if self.lowercase { byte.to_ascii_lowercase() } else { byte };
                    word.push_ascii(byte, self.most_characters);
                    Some(1)
                }
                _ => self.character(&text[at..], &mut word, ids),
            };
            let Some(bytes) = done else {
                ids.truncate(ids_before);
                return Ok(Progress { bytes: after_space, is_blocked: true });
            };
            at += bytes;
        }
        self.end_word(&mut word, ids);
        Ok(Progress { bytes: text.len(), is_blocked: false })
    }

    /// Processes the ASCII punctuation that `text` begins with, and returns its length in bytes; `None` if the library
    /// must tokenize the text.
    fn punctuation(&self, text: &str, word: &mut Word, ids: &mut Vec<u32>) -> Option<usize> {
        self.end_word(word, ids);
        if let Some((id, bytes)) = self.added.at_start(text)? {
            ids.push(id);
            return Some(bytes);
        }
        word.push_ascii(text.as_bytes()[0], self.most_characters);
        self.end_word(word, ids);
        Some(1)
    }

    /// As [`Self::punctuation`], for a character outside ASCII.
    fn character(&self, text: &str, word: &mut Word, ids: &mut Vec<u32>) -> Option<usize> {
        let character = text.chars().next()?;
        let most = self.most_characters;
        let Character { class, normal } = self.characters.get(character);
        match class {
            Class::Removed => {}
            Class::Space => self.end_word(word, ids),
            // The rest of a word that is too long does not matter: the word is unknown.
            Class::Word if word.characters > most => {}
            Class::Word => match normal {
                Some(normal) => word.push(normal),
                None => self.characters.normalize(character, |normal| word.push(normal)),
            },
            Class::Alone => {
                self.end_word(word, ids);
                self.characters.normalize(character, |normal| word.push(normal));
                self.added.permits(&word.bytes)?;
                self.end_word(word, ids);
            }
            Class::Mixed => {
                let mut normalized = Vec::new();
                self.characters.normalize(character, |normal| normalized.push(normal));
                for normal in normalized {
                    if normal.is_whitespace() {
                        self.end_word(word, ids);
                    } else if is_punctuation(normal) {
                        self.end_word(word, ids);
                        word.push(normal);
                        self.added.permits(&word.bytes)?;
                        self.end_word(word, ids);
                    } else {
                        word.push(normal);
                    }
                }
            }
            Class::Reordered => return None,
        }
        Some(character.len_utf8())
    }

    /// Appends the pieces of a word, the longest possible at each position, or the token for unknown words.
    fn end_word(&self, word: &mut Word, ids: &mut Vec<u32>) {
        let Word { bytes: word, characters } = word;
        if word.is_empty() {
            return;
        }
        let before = ids.len();
        let mut start = if *characters > self.most_characters { None } else { Some(0) };
        while let Some(from) = start.filter(|&from| from < word.len()) {
            let pieces = if from == 0 { &self.first } else { &self.rest };
            start = pieces.longest_of(&word[from..]).map(|(id, length)| {
                ids.push(id);
                from + length
            });
        }
        if start.is_none() {
            ids.truncate(before);
            ids.push(self.unknown);
        }
        word.clear();
        *characters = 0;
    }
}

/// The normalized characters of a word, as far as they matter.
#[derive(Default)]
struct Word {
    bytes: Vec<u8>,
    characters: usize,
}

impl Word {
    fn push(&mut self, character: char) {
        self.bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        self.characters += 1;
    }

    /// The rest of a word of more than `most` characters does not matter: the word is unknown.
    fn push_ascii(&mut self, byte: u8, most: usize) {
        if self.characters <= most {
            self.bytes.push(byte);
            self.characters += 1;
        }
    }
}

/// Tokens outside the vocabulary proper, all of which begin with ASCII punctuation.
struct AddedTokens {
    /// Tokens that are found in a text as they are, the longest first.
    literal: Vec<(Box<str>, u32)>,
    /// Whether a literal token begins with this byte.
    begins_literal: [bool; 128],
    /// Whether a token begins with this byte that only the library finds.
    begins_other: [bool; 128],
}

impl AddedTokens {
    /// `None` if a token begins with something else.
    fn of(tokenizer: &tokenizers::Tokenizer) -> Option<Self> {
        let mut added = Self { literal: Vec::new(), begins_literal: [false; 128], begins_other: [false; 128] };
        let splits_special = tokenizer.get_encode_special_tokens();
        for (id, token) in tokenizer.get_added_tokens_decoder() {
            let AddedToken { content, single_word, lstrip, rstrip, normalized, special } = token;
            let first = content.bytes().next().filter(u8::is_ascii_punctuation)?;
            if normalized || single_word || lstrip || rstrip || (special && splits_special) {
                added.begins_other[usize::from(first)] = true;
            } else {
                added.begins_literal[usize::from(first)] = true;
                added.literal.push((content.into(), id));
            }
        }
        added.literal.sort_by_key(|(content, _)| std::cmp::Reverse(content.len()));
        Some(added)
    }

    /// The token that the text begins with, and its length in bytes; `None` if only the library can tell.
    #[allow(clippy::option_option, reason = "that there is no token is known or not")]
    fn at_start(&self, text: &str) -> Option<Option<(u32, usize)>> {
        let first = usize::from(text.as_bytes()[0]);
        if self.begins_other[first] {
            return None;
        }
        if !self.begins_literal[first] {
            return Some(None);
        }
        let found = self.literal.iter().find(|(content, _)| text.starts_with(&**content));
        Some(found.map(|(content, id)| (*id, content.len())))
    }

    /// `None` if a word that another character became may begin a token that only the library finds.
    fn permits(&self, word: &[u8]) -> Option<()> {
        let begins = word.first().and_then(|first| self.begins_other.get(usize::from(*first)));
        (begins != Some(&true)).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use tokenizers::normalizers::BertNormalizer;

    use super::*;
    use crate::error::Error;

    /// Two models' tokenizers, and the first with every other choice of normalization.
    static TOKENIZERS: LazyLock<Vec<(tokenizers::Tokenizer, WordPieceTokenizer)>> = LazyLock::new(|| {
        let mut all = ["data/model/tokenizer.json", "tests/golden/gelu-json/tokenizer.json"].map(tokenizer).to_vec();
        for (ideographs, accents, lowercase) in [
            (true, Some(false), true),
            (true, Some(true), false),
            (true, None, false),
            (false, None, true),
            (false, Some(false), false),
        ] {
            let mut other = all[0].clone();
            other.with_normalizer(Some(BertNormalizer::new(true, ideographs, accents, lowercase))).unwrap();
            all.push(other);
        }
        all.into_iter().map(|tokenizer| (tokenizer.clone(), WordPieceTokenizer::of(&tokenizer).unwrap())).collect()
    });

    fn tokenizer(name: &str) -> tokenizers::Tokenizer {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
        let mut tokenizer = tokenizers::Tokenizer::from_file(path).unwrap();
        tokenizer.with_truncation(None).unwrap();
        tokenizer.with_padding(None);
        tokenizer
    }

    fn library(tokenizer: &tokenizers::Tokenizer, text: &str) -> Vec<u32> {
        tokenizer.encode_fast(text, false).unwrap().get_ids().to_vec()
    }

    /// The ids of a part of a text, and how far it reaches.
    fn part(tokenizer: &WordPieceTokenizer, text: &str, limit: usize) -> (Vec<u32>, Progress) {
        let mut ids = vec![7];
        let progress = tokenizer.append(text, &mut ids, limit.saturating_add(1), &|| Ok(())).unwrap();
        assert_eq!(ids.remove(0), 7, "what was there stays");
        (ids, progress)
    }

    /// The ids of a text, or `None` if a part of it is left to the library.
    fn ours(tokenizer: &WordPieceTokenizer, text: &str) -> Option<Vec<u32>> {
        let (ids, progress) = part(tokenizer, text, usize::MAX);
        (!progress.is_blocked).then_some(ids)
    }

    fn text() -> impl Strategy<Value = String> {
        let words = prop::sample::select(vec![
            "I",
            "feel",
            "GREAT",
            "unbelievably",
            "don't",
            "3.14",
            "e-mail",
            "qzx",
            "supercalifragilistic",
            "...",
            "a",
            "café",
            "cafe\u{301}",
            "ÀÉÎÕÜ",
            "naïve",
            "Straße",
            "İstanbul",
            "ĳ",
            "Привет",
            "ЁЛКА",
            "ΑΣΣ",
            "你好",
            "世界",
            "東京タワー",
            "한국어",
            "สวัสดี",
            "नमस्ते",
            "مرحبا",
            "שלום",
            "😀",
            "👍🏽",
            "👨\u{200d}👩\u{200d}👧",
            "🇩🇪",
            "“so”",
            "—",
            "…",
            "。",
            "≠",
            "\u{1fef}",
            "\u{37e}",
            "\u{226e}",
            "\u{f900}",
            "[MASK]",
            "[UNK][SEP]",
            "[mask]",
            "[MASK",
            "[",
        ]);
        let rest = prop_oneof![
            3 => Just(" ".to_owned()),
            1 => Just("\t\n\r".to_owned()),
            1 => Just("\u{0}\u{b}\u{7f}".to_owned()),
            1 => Just("\u{a0}\u{2003}\u{3000}\u{85}\u{2028}".to_owned()),
            1 => Just("\u{fffd}\u{ad}\u{200b}\u{feff}".to_owned()),
            1 => "[ -~]{0,12}",
            1 => "[a-z]{90,110}",
            1 => "[à-ÿ]{45,110}",
            1 => "[ax]{300,400}",
            1 => "[\u{300}-\u{36f}]{1,3}",
            1 => "\\PC{0,6}",
            1 => prop::collection::vec(any::<char>(), 0..4).prop_map(String::from_iter),
        ];
        prop::collection::vec(prop_oneof![3 => words.prop_map(str::to_owned), 2 => rest], 0..30)
            .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn ids_are_the_library_s(text in text(), limit in 1_usize..60) {
            for (library_s, tokenizer) in &*TOKENIZERS {
                let expected = library(library_s, &text);
                let (mut ids, progress) = part(tokenizer, &text, usize::MAX);
                ids.extend(library(library_s, &text[progress.bytes..]));
                prop_assert_eq!(&ids, &expected, "{:?}", library_s.get_normalizer());
                let (mut some, progress) = part(tokenizer, &text, limit);
                prop_assert!(progress.is_blocked || some.len() >= limit.min(ids.len()));
                some.extend(library(library_s, &text[progress.bytes..]));
                prop_assert_eq!(&some, &expected, "in two parts");
            }
        }
    }

    /// All characters, between letters and alone.
    #[test]
    fn every_character_is_the_library_s() {
        for (library_s, tokenizer) in [&TOKENIZERS[0], &TOKENIZERS[2], &TOKENIZERS[3]] {
            for start in (0..0x1_0000).chain(0x1_F000..0x2_1000).chain(0x2_F800..0x2_FA40).step_by(64) {
                let characters = (start..start + 64).filter_map(char::from_u32);
                let text: String =
                    characters.flat_map(|character| ['a', character, 'b', ' ', character, ' ']).collect();
                if let Some(ids) = ours(tokenizer, &text) {
                    assert_eq!(ids, library(library_s, &text), "{:?}: {text:?}", library_s.get_normalizer());
                }
            }
        }
    }

    #[test]
    fn what_only_the_library_can_do_is_left_to_it() {
        let (_, tokenizer) = &TOKENIZERS[0];
        // Marks that take a place of their own and are reordered.
        assert_eq!(ours(tokenizer, "a\u{302e}"), None);
        assert_eq!(part(tokenizer, "one two b\u{302e}", 512).1, Progress { bytes: 8, is_blocked: true });
        for text in ["caf\u{e9}", "\u{201c}so\u{201d}", "a [MASK] b", "[", "\u{a0}", "日本語", "😀"] {
            assert!(ours(tokenizer, text).is_some(), "{text:?}");
        }
        let mut inner = TOKENIZERS[0].0.clone();
        inner.add_tokens([AddedToken::from("<user>", false)]).unwrap();
        let tokenizer = WordPieceTokenizer::of(&inner).unwrap();
        for text in ["<user>", "a < b", "\u{226e}user>"] {
            assert_eq!(ours(&tokenizer, text), None, "{text:?}");
        }
        assert!(ours(&tokenizer, "[MASK] user").is_some());
        inner.add_tokens([AddedToken::from("covid", false)]).unwrap();
        assert!(WordPieceTokenizer::of(&inner).is_none());
    }

    #[test]
    fn a_check_ends_the_work() {
        let (_, tokenizer) = &TOKENIZERS[0];
        for text in ["x".repeat(1 << 20), "日".repeat(1 << 19), " ".repeat(1 << 20)] {
            let result = tokenizer.append(&text, &mut Vec::new(), usize::MAX, &|| Err(Error::Cancelled));
            assert!(matches!(result, Err(Error::Cancelled)));
        }
    }

    #[test]
    fn no_more_is_read_than_is_needed() {
        let (_, tokenizer) = &TOKENIZERS[0];
        let text = "ночь улица фонарь аптека ".repeat(1 << 16);
        let checked = std::cell::Cell::new(0);
        let check = || {
            checked.set(checked.get() + 1);
            Ok(())
        };
        let progress = tokenizer.append(&text, &mut Vec::new(), 512, &check).unwrap();
        assert!(progress.bytes < CHECKED_BYTES && !progress.is_blocked);
        assert_eq!(checked.get(), 0, "of {} bytes, more than the first {CHECKED_BYTES} were read", text.len());
    }
}
