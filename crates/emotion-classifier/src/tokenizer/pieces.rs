//! Long texts in pieces that the library tokenizes one at a time.

use serde_json::Value;
use tokenizers::Tokenizer;

/// Where a text may be divided so that the ids of its pieces, one after another, are those of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boundaries {
    /// Before a space between two letters. The space belongs to the second piece.
    Spaces,
    /// As [`Self::Spaces`], but the space belongs to neither piece.
    DroppedSpaces,
    /// As [`Self::Spaces`], and between two ideographs.
    SpacesAndIdeographs,
}

impl Boundaries {
    /// The boundaries of a tokenizer whose rules never look beyond a space between two letters; `None` for any other.
    pub(super) fn of(tokenizer: &Tokenizer) -> Option<Self> {
        let added = tokenizer.get_added_tokens_decoder();
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        if added.values().any(|token| token.content.contains(char::is_whitespace)) {
            return None;
        }
        let normalizer = tokenizer.get_normalizer().map(serde_json::to_value).transpose().ok()?;
        let pre_tokenizer = serde_json::to_value(tokenizer.get_pre_tokenizer()?).ok()?;
        if kind(&pre_tokenizer) == "BertPreTokenizer" {
            let normalizer = normalizer.filter(|normalizer| kind(normalizer) == "BertNormalizer")?;
            let splits = normalizer["handle_chinese_chars"] == true && normalizer["clean_text"] == true;
            let are_ascii = added.values().all(|token| token.content.is_ascii());
            return Some(if splits && are_ascii { Self::SpacesAndIdeographs } else { Self::Spaces });
        }
        // A token that strips spaces must not be next to one of the spaces between letters.
        let may_touch = |content: &str| is_word(content.chars().next()) || is_word(content.chars().last());
        if added.values().any(|token| may_touch(&token.content)) || !normalizer.as_ref().is_none_or(is_local) {
            return None;
        }
        let splits: Vec<&Value> = match pre_tokenizer["pretokenizers"].as_array() {
            Some(splits) => splits.iter().collect(),
            None => vec![&pre_tokenizer],
        };
        let (last, others) = splits.split_last()?;
        if others.iter().any(|split| kind(split) != "Punctuation") {
            return None;
        }
        match kind(last) {
            "ByteLevel" if last["use_regex"] == true && others.is_empty() => Some(Self::Spaces),
            "Metaspace" if last["prepend_scheme"] == "always" && last["split"] == true => Some(Self::DroppedSpaces),
            _ => None,
        }
    }

    /// The first piece of a text of at least `least` bytes, and what follows it.
    pub(super) fn split(self, text: &str, least: usize) -> (&str, &str) {
        let start = text.ceil_char_boundary(least);
        let mut characters = text[..start].chars().rev();
        let (mut previous, mut before) = (characters.next(), characters.next());
        for (offset, next) in text[start..].char_indices() {
            let at = start + offset;
            if previous == Some(' ') && is_letter(next) && before.is_some_and(is_letter) {
                let rest = if self == Self::DroppedSpaces { at } else { at - 1 };
                return (&text[..at - 1], &text[rest..]);
            }
            if self == Self::SpacesAndIdeographs
                && is_common_ideograph(next)
                && previous.is_some_and(is_common_ideograph)
            {
                return text.split_at(at);
            }
            (before, previous) = (previous, Some(next));
        }
        (text, "")
    }
}

fn kind(value: &Value) -> &str {
    value["type"].as_str().unwrap_or_default()
}

/// Whether a normalizer changes both sides of a space between two letters as it changes each alone.
fn is_local(normalizer: &Value) -> bool {
    match kind(normalizer) {
        "Sequence" => normalizer["normalizers"].as_array().is_some_and(|all| all.iter().all(is_local)),
        "Replace" => normalizer["pattern"]["Regex"] == " {2,}",
        "Precompiled" | "Lowercase" | "Strip" | "StripAccents" | "NFC" | "NFD" | "NFKC" | "NFKD" | "Nmt" => true,
        _ => false,
    }
}

/// Letters and digits that combine with nothing before them.
fn is_letter(character: char) -> bool {
    match character {
        // Combining ypogegrammeni, which counts as a lower-case letter.
        '\u{345}' => false,
        'a'..='z'
        | 'A'..='Z'
        | '0'..='9'
        | 'א'..='ת'
        | 'ؠ'..='ؿ'
        | 'ف'..='ي'
        | 'अ'..='ह'
        | 'ก'..='ฮ'
        | 'ぁ'..='ゖ'
        | 'ァ'..='ヺ'
        | '가'..='힣' => true,
        _ => is_common_ideograph(character) || character.is_lowercase() || character.is_uppercase(),
    }
}

fn is_common_ideograph(character: char) -> bool {
    matches!(character, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}')
}
