//! The tokenizer classes of `transformers`.

use crate::tokenizer::token::{Role, Token};

/// Classes that make the same tokenizer from the same files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `BertTokenizer` and the classes that copy it: `WordPiece` over `vocab.txt`.
    Bert,
    /// `MPNetTokenizer`: `WordPiece` over `vocab.txt`, with special tokens such as `<s>`.
    Mpnet,
    /// `RobertaTokenizer`: byte-level BPE over `vocab.json` and `merges.txt`.
    Roberta,
    /// `XLMRobertaTokenizer`: Unigram over `sentencepiece.bpe.model`.
    XlmRoberta,
    /// `DebertaV2Tokenizer`: Unigram over `spm.model`.
    Deberta,
    /// `CamembertTokenizer`: Unigram, from `tokenizer.json` only.
    Camembert,
    /// Any other class: from `tokenizer.json` only.
    Other,
}

impl Family {
    /// The family of a class, or of the class that models of this type have, as `AutoTokenizer` chooses it.
    pub(super) fn of(class: Option<&str>, model_type: Option<&str>) -> Self {
        let Some(class) = class else {
            return match model_type {
                None | Some("distilbert" | "bert" | "electra") => Self::Bert,
                Some("mpnet") => Self::Mpnet,
                Some("roberta") => Self::Roberta,
                Some("xlm-roberta") => Self::XlmRoberta,
                Some("deberta-v2") => Self::Deberta,
                Some("camembert") => Self::Camembert,
                Some(_) => Self::Other,
            };
        };
        match class.strip_suffix("Fast").unwrap_or(class) {
            "BertTokenizer"
            | "DistilBertTokenizer"
            | "ElectraTokenizer"
            | "MobileBertTokenizer"
            | "ConvBertTokenizer"
            | "SqueezeBertTokenizer" => Self::Bert,
            "MPNetTokenizer" => Self::Mpnet,
            "RobertaTokenizer" | "LongformerTokenizer" => Self::Roberta,
            "XLMRobertaTokenizer" => Self::XlmRoberta,
            "DebertaV2Tokenizer" => Self::Deberta,
            "CamembertTokenizer" => Self::Camembert,
            _ => Self::Other,
        }
    }

    /// The special token that a model has unless its files name another.
    pub(super) fn default_token(self, role: Role) -> Option<&'static str> {
        match (self, role) {
            (Self::Other, _) | (Self::Bert, Role::Bos | Role::Eos) => None,
            (Self::Bert | Self::Mpnet | Self::Deberta, Role::Unk) => Some("[UNK]"),
            (Self::Bert | Self::Deberta, Role::Sep) | (Self::Deberta, Role::Eos) => Some("[SEP]"),
            (Self::Bert | Self::Deberta, Role::Pad) => Some("[PAD]"),
            (Self::Bert | Self::Deberta, Role::Cls) | (Self::Deberta, Role::Bos) => Some("[CLS]"),
            (Self::Bert | Self::Deberta, Role::Mask) => Some("[MASK]"),
            (_, Role::Bos | Role::Cls) => Some("<s>"),
            (_, Role::Eos | Role::Sep) => Some("</s>"),
            (_, Role::Unk) => Some("<unk>"),
            (_, Role::Pad) => Some("<pad>"),
            (_, Role::Mask) => Some("<mask>"),
        }
    }

    /// A special token that is named by its text alone, with the properties that the class gives it.
    pub(super) fn named_token(self, role: Role, text: String) -> Token {
        match (self, role) {
            (Self::Roberta, Role::Mask) => Token { lstrip: true, normalized: Some(false), ..Token::named(text) },
            (Self::Mpnet | Self::XlmRoberta | Self::Camembert, Role::Mask) => {
                Token { lstrip: true, ..Token::named(text) }
            }
            (Self::Deberta, Role::Unk) => Token { normalized: Some(true), ..Token::named(text) },
            _ => Token::named(text),
        }
    }

    /// Whether a special token that is named by its text alone replaces an added token of this text.
    pub(super) fn redefines(self, role: Role) -> bool {
        self == Self::Mpnet
            || (role == Role::Mask && matches!(self, Self::Roberta | Self::XlmRoberta | Self::Camembert))
    }
}
