use std::collections::HashMap;

use foldhash::fast::RandomState;
use tokenizers::{ModelWrapper, NormalizerWrapper, PreTokenizerWrapper};

/// BERT's tokenization of ASCII texts: the ids are those of the `tokenizers` library, in a small part of its time,
/// because no strings are allocated.
///
/// Source: `BertNormalizer`, `BertPreTokenizer` and `WordPiece` of that library, which is the reference, and which
/// tokenizes all other texts and serves all other tokenizers.
pub(crate) struct AsciiTokenizer {
    /// Pieces that begin a word.
    first: Pieces,
    /// Pieces that continue a word, without the prefix that marks them.
    rest: Pieces,
    longest: usize,
    unknown: u32,
    most_characters: usize,
    lowercase: bool,
    /// The ids of the first and the last token of every text.
    ends: [u32; 2],
    /// The first bytes of added tokens: a text with one of these bytes is left to the library.
    added: Vec<u8>,
}

type Pieces = HashMap<Box<[u8]>, u32, RandomState>;

impl AsciiTokenizer {
    /// The fast path of `tokenizer`, if it is BERT's and all its added tokens begin with punctuation.
    pub(crate) fn of(tokenizer: &tokenizers::Tokenizer) -> Option<Self> {
        let (Some(NormalizerWrapper::BertNormalizer(normalizer)), Some(PreTokenizerWrapper::BertPreTokenizer(_))) =
            (tokenizer.get_normalizer(), tokenizer.get_pre_tokenizer())
        else {
            return None;
        };
        let ModelWrapper::WordPiece(model) = tokenizer.get_model() else { return None };
        let added: Option<Vec<u8>> = tokenizer
            .get_added_tokens_decoder()
            .values()
            .map(|token| token.content.bytes().next().filter(u8::is_ascii_punctuation))
            .collect();

        let (mut first, mut rest) = (Pieces::default(), Pieces::default());
        for (piece, id) in tokenizer.get_vocab(false) {
            if let Some(piece) = piece.strip_prefix(&model.continuing_subword_prefix) {
                rest.insert(piece.as_bytes().into(), id);
            }
            first.insert(piece.into_bytes().into(), id);
        }
        let ours = Self {
            longest: first.keys().map(|piece| piece.len()).max()?,
            unknown: *first.get(model.unk_token.as_bytes())?,
            most_characters: model.max_input_chars_per_word,
            lowercase: normalizer.lowercase,
            ends: ends(tokenizer)?,
            added: added?,
            first,
            rest,
        };
        normalizer.clean_text.then_some(ours)
    }

    /// The ids of a text, truncated to `max_length`, and whether there were more; `None` if the library must tokenize it.
    pub(crate) fn encode(&self, text: &str, max_length: usize) -> Option<(Vec<u32>, bool)> {
        if !text.bytes().all(|byte| byte.is_ascii() && !self.added.contains(&byte)) {
            return None;
        }
        let [first, last] = self.ends;
        let mut ids = Vec::with_capacity(max_length.min(2 + text.len() / 3));
        ids.push(first);
        let mut word = Vec::new();
        for byte in text.bytes() {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.end_word(&mut word, &mut ids),
                _ if byte.is_ascii_control() => {}
                _ if byte.is_ascii_punctuation() => {
                    self.end_word(&mut word, &mut ids);
                    word.push(byte);
                    self.end_word(&mut word, &mut ids);
                }
                // The rest of a word that is too long does not matter: the word is unknown.
                _ if word.len() > self.most_characters => {}
                _ => word.push(if self.lowercase { byte.to_ascii_lowercase() } else { byte }),
            }
            if ids.len() >= max_length {
                break;
            }
        }
        self.end_word(&mut word, &mut ids);
        let truncated = ids.len() >= max_length;
        ids.truncate(max_length - 1);
        ids.push(last);
        Some((ids, truncated))
    }

    /// Appends the pieces of a word, the longest possible at each position, or the token for unknown words.
    fn end_word(&self, word: &mut Vec<u8>, ids: &mut Vec<u32>) {
        if word.is_empty() {
            return;
        }
        let before = ids.len();
        let mut start = if word.len() > self.most_characters { None } else { Some(0) };
        while let Some(from) = start.filter(|&from| from < word.len()) {
            start = self.piece(word, from).map(|(id, end)| {
                ids.push(id);
                end
            });
        }
        if start.is_none() {
            ids.truncate(before);
            ids.push(self.unknown);
        }
        word.clear();
    }

    /// The id of the longest piece of the word at `start`, and its end.
    fn piece(&self, word: &[u8], start: usize) -> Option<(u32, usize)> {
        let pieces = if start == 0 { &self.first } else { &self.rest };
        let most = word.len().min(start + self.longest);
        (start + 1..=most).rev().find_map(|end| pieces.get(&word[start..end]).map(|&id| (id, end)))
    }
}

/// The ids before and after every text, if there is one on each side.
fn ends(tokenizer: &tokenizers::Tokenizer) -> Option<[u32; 2]> {
    let ids =
        |text: &str, special| tokenizer.encode_fast(text, special).ok().map(|encoding| encoding.get_ids().to_vec());
    let [first, last] = ids("", true)?.try_into().ok()?;
    let word = ids("a", false)?;
    (ids("a", true)? == [&[first], &word[..], &[last]].concat()).then_some([first, last])
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static TOKENIZERS: LazyLock<[tokenizers::Tokenizer; 2]> =
        LazyLock::new(|| ["data/model/tokenizer.json", "tests/golden/gelu-json/tokenizer.json"].map(tokenizer));

    fn tokenizer(name: &str) -> tokenizers::Tokenizer {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
        let mut tokenizer = tokenizers::Tokenizer::from_file(path).unwrap();
        tokenizer.with_truncation(None).unwrap();
        tokenizer.with_padding(None);
        tokenizer
    }

    fn library(tokenizer: &tokenizers::Tokenizer, text: &str) -> Vec<u32> {
        tokenizer.encode_fast(text, true).unwrap().get_ids().to_vec()
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
        ]);
        let rest = prop_oneof![
            Just(" ".to_owned()),
            Just("\t\n\r".to_owned()),
            Just("\u{0}\u{b}\u{7f}".to_owned()),
            "[ -Z\\\\-~]{0,12}",
            "[a-z]{90,110}",
            "[ax]{300,400}",
        ];
        prop::collection::vec(prop_oneof![3 => words.prop_map(str::to_owned), 2 => rest], 0..30)
            .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn ids_are_the_library_s(text in text(), max_length in 3_usize..60) {
            static OURS: LazyLock<Vec<AsciiTokenizer>> =
                LazyLock::new(|| TOKENIZERS.iter().map(|tokenizer| AsciiTokenizer::of(tokenizer).unwrap()).collect());
            for (tokenizer, ours) in TOKENIZERS.iter().zip(&*OURS) {
                let expected = library(tokenizer, &text);
                let (ids, truncated) = ours.encode(&text, max_length).unwrap();
                prop_assert_eq!(truncated, expected.len() > max_length);
                if truncated {
                    prop_assert_eq!(&ids[..max_length - 1], &expected[..max_length - 1]);
                    prop_assert_eq!(&ids[max_length - 1..], &expected[expected.len() - 1..]);
                } else {
                    prop_assert_eq!(&ids, &expected);
                }
            }
        }
    }

    #[test]
    fn what_only_the_library_can_do_is_left_to_it() {
        let ours = AsciiTokenizer::of(&TOKENIZERS[0]).unwrap();
        for text in ["caf\u{e9}", "\u{201c}so\u{201d}", "a [MASK] b", "[", "\u{a0}"] {
            assert_eq!(ours.encode(text, 512), None, "{text:?}");
        }
    }
}
