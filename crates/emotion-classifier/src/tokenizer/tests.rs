//! Every kind of tokenizer folder has the token ids of `AutoTokenizer`: see `tests/golden/make_tokenizers.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::*;

const NEVER: Check<'static> = &|| Ok(());

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    ids: BTreeMap<String, Vec<Vec<u32>>>,
}

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(path)
}

fn load(files: &TokenizerFiles, model_config: &[u8], vocab_size: usize) -> Result<Tokenizer> {
    let config = format!(r#"{{"vocab_size": {vocab_size}, "max_position_embeddings": 24}}"#);
    Tokenizer::load("m", files, model_config, &Config::parse("m", config.as_bytes()).unwrap())
}

fn open(name: &str) -> Tokenizer {
    let folder = golden("tokenizers").join(name);
    let model_config = fs::read(folder.join("config.json")).unwrap();
    load(&TokenizerFiles::open(&folder).unwrap(), &model_config, 100_000).unwrap()
}

#[test]
fn ids_are_those_of_transformers() {
    let golden: Golden = serde_json::from_slice(&fs::read(golden("tokenizers.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for (name, expected) in &golden.ids {
        let tokenizer = open(name);
        let max_length = tokenizer.checked_length(None).unwrap();
        for (text, expected) in golden.texts.iter().zip(expected) {
            let ids = tokenizer.encode(text, max_length, NEVER).unwrap().ids;
            if ids != *expected {
                wrong.push(format!("{name}: {text:?}: {ids:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The files of a byte-level BPE tokenizer, for a model of the type `roberta`.
fn byte_pairs(vocab: &str, merges: &str) -> Result<Tokenizer> {
    let file = |text: &str| Some(text.as_bytes().to_vec().into());
    let files = TokenizerFiles { byte_pairs: file(vocab), merges: file(merges), ..TokenizerFiles::default() };
    load(&files, br#"{"model_type": "roberta"}"#, 100)
}

#[test]
fn vocabularies_and_merges_cut_short() {
    let folder = golden("tokenizers/roberta");
    let vocab = fs::read_to_string(folder.join("vocab.json")).unwrap();
    let merges = fs::read_to_string(folder.join("merges.txt")).unwrap();
    for (vocab, merges, part) in [
        (&vocab[..vocab.len() / 2], &*merges, "vocab.json is not a vocabulary"),
        (r#"{"a": 0}"#, &*merges, "vocab.json has no '</s>'"),
        (r#"{"a": -1}"#, &*merges, "vocab.json is not a vocabulary"),
        (&*vocab, "#version\none two three\n", "'one two three', which is not a pair"),
        (&*vocab, "#version\none\n", "'one', which is not a pair"),
        (&*vocab, "#version\nno such\n", "do not belong together"),
    ] {
        let message = byte_pairs(vocab, merges).err().unwrap().to_string();
        assert!(message.contains(part), "{message}");
    }
    // The last line counts only if it ends.
    byte_pairs(&vocab, "#version\none").unwrap();
    byte_pairs(&vocab, "").unwrap();
}

#[test]
fn a_missing_vocabulary_is_named() {
    for (model_type, missing) in [
        ("distilbert", "vocab.txt"),
        ("roberta", "vocab.json"),
        ("xlm-roberta", "sentencepiece.bpe.model"),
        ("deberta-v2", "spm.model"),
        ("camembert", "tokenizer.json"),
        ("t5", "tokenizer.json"),
    ] {
        let model_config = format!(r#"{{"model_type": "{model_type}"}}"#);
        let error = load(&TokenizerFiles::default(), model_config.as_bytes(), 100).err().unwrap();
        assert!(matches!(error, Error::MissingFile { file, .. } if file == missing), "{model_type}: {error}");
    }
}

#[test]
fn a_byte_order_mark_is_not_part_of_a_vocabulary() {
    let vocab = fs::read(golden("tokenizers/crlf/vocab.txt")).unwrap();
    let open = |vocab: Vec<u8>| {
        let files = TokenizerFiles { pieces: Some(vocab.into()), ..TokenizerFiles::default() };
        load(&files, b"{}", 1000).unwrap().encode("I like [PAD] you.", 24, NEVER).unwrap()
    };
    assert_eq!(open([b"\xef\xbb\xbf", &*vocab].concat()), open(vocab));
}

#[test]
fn the_last_tokens_are_kept_on_every_path() {
    let tokenizer = open("left");
    assert!(tokenizer.word_piece.is_some());
    for text in ["the start is bad but the end is good", "I like you", ""] {
        let long = format!("{}{text}", "joy ".repeat(50));
        for max_length in [3, 4, 8, 24] {
            let whole = tokenizer.inner.encode_fast(&*long, true).unwrap().get_ids().to_vec();
            let expected = [&whole[..1], &whole[whole.len() - max_length + 1..]].concat();
            let cut = tokenizer.encode(&long, max_length, NEVER).unwrap();
            assert_eq!((cut.ids, cut.truncated), (expected, true));
        }
        let short = tokenizer.encode(text, 24, NEVER).unwrap();
        assert_eq!(
            (short.ids, short.truncated),
            (tokenizer.inner.encode_fast(text, true).unwrap().get_ids().to_vec(), false)
        );
    }
}

#[test]
fn a_sentence_piece_file_of_noise() {
    let file = fs::read(golden("tokenizers/xlm-roberta/sentencepiece.bpe.model")).unwrap();
    assert_noise_is_refused(&file, "sentencepiece.bpe.model", |bytes| {
        let files = TokenizerFiles { sentence_pieces: Some(bytes.to_vec().into()), ..TokenizerFiles::default() };
        load(&files, br#"{"model_type": "xlm-roberta"}"#, 1000)
    });
    let file = fs::read(golden("tokenizers/deberta/spm.model")).unwrap();
    assert_noise_is_refused(&file, "spm.model", |bytes| {
        let files = TokenizerFiles { deberta_pieces: Some(bytes.to_vec().into()), ..TokenizerFiles::default() };
        load(&files, br#"{"model_type": "deberta-v2"}"#, 1000)
    });
}

fn assert_noise_is_refused(file: &[u8], name: &str, load: impl Fn(&[u8]) -> Result<Tokenizer>) {
    load(file).unwrap();
    for noise in [
        &[0xff; 40][..],
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x0a, 3, 0x0a, 1, 0xff],
        &[0x1a, 4, 0x12, 2, 1, 1],
        &file[1..],
    ] {
        let message = load(noise).err().unwrap().to_string();
        assert!(message.contains(name), "{message}");
    }
    for length in 0..file.len() {
        let _ = load(&file[..length]);
    }
}

/// Texts in pieces have the ids of the whole text.
mod pieces {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static TOKENIZERS: LazyLock<Vec<(String, Tokenizer, Boundaries)>> = LazyLock::new(|| {
        let golden = |name: &str| {
            let folder = golden(name);
            let config = fs::read(folder.join("config.json")).unwrap();
            let parsed = Config::parse("m", &config).unwrap();
            Tokenizer::load("m", &TokenizerFiles::open(&folder).unwrap(), &config, &parsed).unwrap()
        };
        let models =
            ["gelu-json", "bert", "roberta", "xlm-roberta", "camembert", "electra", "modernbert", "deberta-v3"];
        let models = models.into_iter().map(|name| (name.to_owned(), golden(name)));
        let boundaries = |tokenizer: &Tokenizer| tokenizer.boundaries;
        let all: Vec<_> = models
            .filter_map(|(name, tokenizer)| boundaries(&tokenizer).map(|boundaries| (name, tokenizer, boundaries)))
            .collect();
        assert!(all.len() >= 6, "{:?}", all.iter().map(|(name, ..)| name).collect::<Vec<_>>());
        all
    });

    fn text() -> impl Strategy<Value = String> {
        let parts = prop_oneof![
            4 => prop::sample::select(vec![
                " ", " ", " ", "  ", "\t", "\n", "a", "I", "b2", "don't", "ﬁ", "Ⅳ", "é", "e\u{301}", "я", "ß", "İ", "日本",
                "語", "かな", "が", "か\u{3099}", "ｶﾞ", "한국", "ก", "กำ", "\u{e33}", "क", "क्ष", "\u{93f}", "ش", "\u{64b}", "א",
                "\u{345}", "😀", "\u{200d}", "\u{2581}", "。", "...", "<mask>", "<s>", "[MASK]", "[SEP]", "—", "\u{a0}", "１",
            ]).prop_map(str::to_owned),
            1 => "\\PC{0,3}",
            1 => "[a-zA-Z0-9 .,]{0,10}",
        ];
        prop::collection::vec(parts, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn have_the_ids_of_the_text(text in text(), least in 0_usize..40) {
            for (name, tokenizer, boundaries) in &*TOKENIZERS {
                let ids = |text: &str| tokenizer.encode_by_library(text).unwrap().get_ids().to_vec();
                let (mut rest, mut found) = (&text[..], Vec::new());
                let mut pieces = Vec::new();
                while !rest.is_empty() {
                    let (piece, next) = boundaries.split(rest, least.min(rest.len()));
                    prop_assert!(!piece.is_empty() || next.len() < rest.len());
                    pieces.push(piece);
                    found.extend(ids(piece));
                    rest = next;
                }
                prop_assert_eq!(found, ids(&text), "{}: {:?}", name, pieces);
            }
        }
    }

    /// A text that is far longer than what is kept is cut, in every tokenizer and any script.
    #[test]
    fn no_more_is_tokenized_than_is_needed() {
        for (name, tokenizer, _) in &*TOKENIZERS {
            for words in ["I like you so much ", "ночь улица фонарь аптека "] {
                let text = words.repeat(1 << 15);
                let checks = std::cell::Cell::new(0);
                let check = || {
                    checks.set(checks.get() + 1);
                    Ok(())
                };
                let cut = tokenizer.encode(&text, 24, &check).unwrap();
                assert!(cut.truncated && checks.get() <= 1, "{name}: {} checks", checks.get());
                let start = tokenizer.encode(&text[..words.len() * 200], 24, NEVER).unwrap();
                assert_eq!(cut.ids, start.ids, "{name}");
                let cancelled = tokenizer.encode(&text, 24, &|| Err(Error::Cancelled));
                assert!(cancelled.is_err() == tokenizer.word_piece.is_none(), "{name}: {cancelled:?}");
                let cancelled = tokenizer.windows(&text, 24, &|| Err(Error::Cancelled)).last().unwrap().unwrap_err();
                assert!(matches!(cancelled, Error::Cancelled));
            }
        }
    }
}

/// The windows are those into which the library truncates.
#[test]
fn windows_are_those_of_the_library() {
    let tokenizer = open("left");
    for words in 0..60 {
        let text = "joy like you bad ".repeat(words);
        for max_length in [3, 4, 7, 8, 24] {
            let most = max_length - tokenizer.special();
            let mut encoding = tokenizer.inner.encode_fast(&*text, false).unwrap();
            encoding.truncate(most, most / 4, TruncationDirection::Right);
            let whole = tokenizer.inner.post_process(encoding, None, true).unwrap();
            let expected: Vec<Vec<u32>> = std::iter::once(&whole)
                .chain(whole.get_overflowing())
                .map(|window| window.get_ids().to_vec())
                .collect();
            let windows: Vec<_> = tokenizer.windows(&text, max_length, NEVER).map(Result::unwrap).collect();
            assert_eq!(windows, expected, "{words} times, {max_length}");
        }
    }
}
