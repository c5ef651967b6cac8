//! What the rules of BERT make of each character.
//!
//! Source: `BertNormalizer` and `BertPreTokenizer` of the `tokenizers` library, with its tables of Unicode.

use std::sync::OnceLock;

use tokenizers::normalizers::BertNormalizer;
use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::char::{canonical_combining_class, decompose_canonical};

/// What a character is for the division of a text into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing: the character is removed.
    Removed,
    /// The end of a word.
    Space,
    /// A word of its own.
    Alone,
    /// A part of a word.
    Word,
    /// Several characters, of which each has a class of its own.
    Mixed,
    /// A mark that canonical ordering may move across its neighbors.
    Reordered,
}

const PAGE: usize = 256;
const PAGES: usize = (char::MAX as usize + 1) / PAGE;

/// The classes of all characters, computed a page at a time when a text first needs them, and their normalization.
pub(super) struct Characters {
    normalizer: BertNormalizer,
    pages: Box<[OnceLock<Box<[Character; PAGE]>>]>,
}

/// A character's class, and what it becomes if that is a single character.
#[derive(Debug, Clone, Copy)]
pub(super) struct Character {
    pub class: Class,
    pub normal: Option<char>,
}

impl Characters {
    /// The characters of a normalizer that cleans texts.
    pub(super) fn new(normalizer: BertNormalizer) -> Self {
        Self { normalizer, pages: (0..PAGES).map(|_| OnceLock::new()).collect() }
    }

    pub(super) fn get(&self, character: char) -> Character {
        let (page, at) = (character as usize / PAGE, character as usize % PAGE);
        self.pages[page].get_or_init(|| Box::new(self.page(page)))[at]
    }

    fn page(&self, page: usize) -> [Character; PAGE] {
        std::array::from_fn(|at| {
            let character = u32::try_from(page * PAGE + at).ok().and_then(char::from_u32);
            let Some(character) = character else { return Character { class: Class::Removed, normal: None } };
            let mut normalized = Vec::new();
            self.normalize(character, |normal| normalized.push(normal));
            let normal = if let [normal] = normalized[..] { Some(normal) } else { None };
            Character { class: self.classify(character), normal }
        })
    }

    fn classify(&self, character: char) -> Class {
        if matches!(character, '\t' | '\n' | '\r') {
            return Class::Space;
        }
        if matches!(character, '\0' | '\u{fffd}') || character.is_other() {
            return Class::Removed;
        }
        if character.is_whitespace() {
            return Class::Space;
        }
        let mut normalized = Vec::new();
        self.normalize(character, |character| normalized.push(character));
        if self.strips_accents() && normalized.iter().any(|normal| canonical_combining_class(*normal) != 0) {
            return Class::Reordered;
        }
        match &normalized[..] {
            [] => Class::Removed,
            [normal] if self.normalizer.handle_chinese_chars && is_ideograph(character) => Self::alone(*normal),
            [normal] if is_punctuation(*normal) => Class::Alone,
            _ if normalized.iter().all(|normal| !is_punctuation(*normal) && !normal.is_whitespace()) => Class::Word,
            _ => Class::Mixed,
        }
    }

    /// The class of an ideograph, between the spaces that surround it.
    fn alone(normal: char) -> Class {
        if normal.is_whitespace() { Class::Space } else { Class::Alone }
    }

    /// What a character of the class [`Alone`](Class::Alone), [`Word`](Class::Word) or [`Mixed`](Class::Mixed) becomes.
    pub(super) fn normalize(&self, character: char, mut emit: impl FnMut(char)) {
        let mut lower = |character: char| {
            if self.normalizer.lowercase {
                character.to_lowercase().for_each(&mut emit);
            } else {
                emit(character);
            }
        };
        if !self.strips_accents() {
            return lower(character);
        }
        decompose_canonical(character, |part| {
            if !part.is_mark_nonspacing() {
                lower(part);
            }
        });
    }

    fn strips_accents(&self) -> bool {
        self.normalizer.strip_accents.unwrap_or(self.normalizer.lowercase)
    }
}

pub(super) fn is_punctuation(character: char) -> bool {
    character.is_ascii_punctuation() || character.is_punctuation()
}

fn is_ideograph(character: char) -> bool {
    matches!(
        character,
        '\u{4E00}'..='\u{9FFF}'
            | '\u{3400}'..='\u{4DBF}'
            | '\u{20000}'..='\u{2A6DF}'
            | '\u{2A700}'..='\u{2B73F}'
            | '\u{2B740}'..='\u{2B81F}'
            | '\u{2B920}'..='\u{2CEAF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{2F800}'..='\u{2FA1F}'
    )
}
