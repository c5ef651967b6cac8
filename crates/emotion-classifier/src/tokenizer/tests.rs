//! Every kind of tokenizer folder has the token ids of `AutoTokenizer`: see `tests/golden/make_tokenizers.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::*;

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
            let ids = tokenizer.encode(text, max_length).unwrap().ids;
            if ids != *expected {
                wrong.push(format!("{name}: {text:?}: {ids:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_cuts_at_a_space_after_enough_words() {
    for (text, count, expected) in [
        ("", 2, ""),
        ("one", 1, "one"),
        ("one two three", 2, "one two"),
        ("one !? - two three", 2, "one !? - two"),
        ("é ü one two", 1, "é ü one"),
        ("one two   ", 2, "one two"),
        ("日本 語 one", 1, "日本 語 one"),
    ] {
        assert_eq!(words(text, count), expected, "{text:?} {count}");
    }
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
        load(&files, b"{}", 1000).unwrap().encode("I like [PAD] you.", 24).unwrap()
    };
    assert_eq!(open([b"\xef\xbb\xbf", &*vocab].concat()), open(vocab));
}

#[test]
fn the_last_tokens_are_kept_on_every_path() {
    let tokenizer = open("left");
    assert!(tokenizer.ascii.is_some());
    for text in ["the start is bad but the end is good", "I like you", ""] {
        let long = format!("{}{text}", "joy ".repeat(50));
        for max_length in [3, 4, 8, 24] {
            let whole = tokenizer.inner.encode_fast(&*long, true).unwrap().get_ids().to_vec();
            let expected = [&whole[..1], &whole[whole.len() - max_length + 1..]].concat();
            let cut = tokenizer.encode(&long, max_length).unwrap();
            assert_eq!((cut.ids, cut.truncated), (expected, true));
        }
        let short = tokenizer.encode(text, 24).unwrap();
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
