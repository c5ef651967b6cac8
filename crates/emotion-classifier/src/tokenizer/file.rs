//! The files that describe a model's tokenizer.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::Result;
use crate::file::{self, Bytes};

/// The most bytes of a file with a vocabulary; the largest that are in use have 40 MB.
const MOST_VOCABULARY: u64 = 128 << 20;

/// The files of a tokenizer that a model's folder has. `settings` and `family` say which of them count.
#[derive(Default)]
pub(crate) struct TokenizerFiles {
    /// `tokenizer.json`. If it is there, the vocabularies below are not read.
    pub json: Option<Bytes>,
    /// `vocab.txt`.
    pub pieces: Option<Bytes>,
    /// `vocab.json`.
    pub byte_pairs: Option<Bytes>,
    /// `merges.txt`.
    pub merges: Option<Bytes>,
    /// `sentencepiece.bpe.model`.
    pub sentence_pieces: Option<Bytes>,
    /// `spm.model`.
    pub deberta_pieces: Option<Bytes>,
    /// `tokenizer_config.json`.
    pub config: Option<Bytes>,
    /// `special_tokens_map.json`.
    pub special_tokens: Option<Bytes>,
    /// `added_tokens.json`.
    pub added_tokens: Option<Bytes>,
}

impl TokenizerFiles {
    /// The names of all files that may describe a tokenizer.
    pub(crate) const NAMES: [&'static str; 9] = [
        "tokenizer.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "sentencepiece.bpe.model",
        "spm.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
    ];

    /// Reads the files of a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let read = |name| file::optional(folder, name, file::MOST_SETTINGS);
        let json = file::optional(folder, "tokenizer.json", MOST_VOCABULARY)?;
        let vocabulary = |name| if json.is_some() { Ok(None) } else { file::optional(folder, name, MOST_VOCABULARY) };
        Ok(Self {
            pieces: vocabulary("vocab.txt")?,
            byte_pairs: vocabulary("vocab.json")?,
            merges: vocabulary("merges.txt")?,
            sentence_pieces: vocabulary("sentencepiece.bpe.model")?,
            deberta_pieces: vocabulary("spm.model")?,
            config: read("tokenizer_config.json")?,
            special_tokens: read("special_tokens_map.json")?,
            added_tokens: read("added_tokens.json")?,
            json,
        })
    }

    /// The SHA-256 of all files, one after another.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (_, bytes) in self.files() {
            hash.update(bytes);
        }
        hash.finalize().into()
    }

    /// The files that are there, with their names.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let files = [
            &self.json,
            &self.pieces,
            &self.byte_pairs,
            &self.merges,
            &self.sentence_pieces,
            &self.deberta_pieces,
            &self.config,
            &self.special_tokens,
            &self.added_tokens,
        ];
        Self::NAMES.into_iter().zip(files).filter_map(|(name, bytes)| Some((name, &**bytes.as_ref()?)))
    }
}
