//! Tokens outside the vocabulary proper.

use serde::Deserialize;
use tokenizers::AddedToken;

/// What a special token is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Bos,
    Eos,
    Unk,
    Sep,
    Pad,
    Cls,
    Mask,
}

impl Role {
    pub(super) const ALL: [Self; 7] = [Self::Bos, Self::Eos, Self::Unk, Self::Sep, Self::Pad, Self::Cls, Self::Mask];

    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Bos => "bos_token",
            Self::Eos => "eos_token",
            Self::Unk => "unk_token",
            Self::Sep => "sep_token",
            Self::Pad => "pad_token",
            Self::Cls => "cls_token",
            Self::Mask => "mask_token",
        }
    }
}

/// A token outside the vocabulary proper, and how it is found in a text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are the keys of the files")]
pub(super) struct Token {
    pub content: String,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    /// By default, tokens that are not special are.
    pub normalized: Option<bool>,
    #[serde(default)]
    pub special: bool,
}

impl Token {
    pub(super) fn named(content: String) -> Self {
        Self { content, single_word: false, lstrip: false, rstrip: false, normalized: None, special: false }
    }

    /// The token as it is added to a vocabulary.
    pub(super) fn added(self) -> AddedToken {
        AddedToken {
            normalized: self.normalized.unwrap_or(!self.special),
            content: self.content,
            single_word: self.single_word,
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            special: self.special,
        }
    }
}
