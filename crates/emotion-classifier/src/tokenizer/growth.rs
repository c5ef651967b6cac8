//! Bounds on what a tokenizer's normalizer may make of a text, found before the library runs it.

use serde_json::Value;

/// The most bytes that normalizing may make of a text at a time. The library holds about twenty bytes for each.
const MOST_BYTES: usize = 128 << 20;

/// The most bytes that the parts of a normalizer together may make of one byte, according to the bounds below. They are
/// far above what a text really becomes: those of XLM-RoBERTa are 66.
const MOST_GROWTH: usize = 4096;

/// A normalizer's bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct Growth(usize);

impl Growth {
    /// The bound of a normalizer of `tokenizer.json`, or why it must not be run.
    pub(super) fn of(normalizer: &Value) -> Result<Self, String> {
        let growth = factor(normalizer)?;
        if growth > MOST_GROWTH {
            return Err(format!(
                "its normalizer may make {growth} bytes of one byte of text, and at most {MOST_GROWTH} are allowed: \
                 remove the steps that repeat or insert long texts"
            ));
        }
        Ok(Self(growth))
    }

    /// Refuses a text that may become too long.
    pub(super) fn check(self, text: &str) -> Result<(), String> {
        if text.len().saturating_mul(self.0) <= MOST_BYTES {
            return Ok(());
        }
        Err(format!(
            "normalizing {} bytes at once may make {} of each, which is more than {MOST_BYTES} in total: shorten the \
             text, or use a tokenizer with a simpler normalizer",
            text.len(),
            self.0
        ))
    }
}

/// The most bytes that a normalizer makes of one byte.
fn factor(normalizer: &Value) -> Result<usize, String> {
    let content = |key: &str| normalizer[key].as_str().map_or(0, str::len);
    Ok(match normalizer["type"].as_str().unwrap_or_default() {
        "Sequence" => {
            let parts = normalizer["normalizers"].as_array().into_iter().flatten();
            parts
                .map(factor)
                .try_fold(1_usize, |product, factor| factor.map(|factor| product.saturating_mul(factor)))?
        }
        // A regular expression may match between any two bytes.
        "Replace" => match normalizer["pattern"]["String"].as_str().map(str::len) {
            Some(pattern) if pattern > 0 => content("content").div_ceil(pattern).max(1),
            _ if normalizer["pattern"]["Regex"] == " {2,}" => content("content").div_ceil(2).max(1),
            _ => 1 + content("content"),
        },
        // A text has at most as many parts as bytes, between which there are added tokens.
        "Prepend" => 1 + content("prepend"),
        "Precompiled" => longest_replacement(normalizer["precompiled_charsmap"].as_str().unwrap_or_default())?,
        // U+FDFA, of three bytes, becomes 33.
        "NFKC" | "NFKD" => 11,
        "NFC" | "NFD" | "BertNormalizer" => 4,
        "Lowercase" | "ByteLevel" => 2,
        _ => 1,
    })
}

/// The length of the longest text by which rules for characters, encoded in base 64, replace a character.
fn longest_replacement(rules: &str) -> Result<usize, String> {
    rules_growth(&base64(rules).ok_or("its rules for characters are not in base 64")?)
}

/// The length of the longest replacement of `precompiled_charsmap`: the size of a trie, the trie, and the texts, each of
/// which ends with a zero byte. The library reserves memory for the trie before it reads it.
pub(super) fn rules_growth(rules: &[u8]) -> Result<usize, String> {
    const DAMAGED: &str = "its rules for characters are damaged";
    let (size, rest) = rules.split_first_chunk().ok_or(DAMAGED)?;
    let size = usize::try_from(u32::from_le_bytes(*size)).map_err(|_| DAMAGED)?;
    // A trie without a unit has no root, which the library reads.
    let texts = (size >= 4).then(|| rest.get(size / 4 * 4..)).flatten().ok_or(DAMAGED)?;
    Ok(texts.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0).max(1))
}

/// The bytes of a text in base 64 with the standard alphabet; `None` if it is something else.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').bytes().map(|byte| match byte {
        b'A'..=b'Z' => Some(u32::from(byte - b'A')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    });
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for digit in digits {
        bits = bits << 6 | digit?;
        count += 6;
        if count >= 8 {
            count -= 8;
            let [.., byte] = (bits >> count).to_be_bytes();
            bytes.push(byte);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn growth(normalizer: &Value) -> Result<usize, String> {
        Growth::of(normalizer).map(|growth| growth.0)
    }

    #[test]
    fn bounds_are_products() {
        let replace =
            |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
        assert_eq!(growth(&Value::Null), Ok(1));
        assert_eq!(growth(&json!({"type": "Lowercase"})), Ok(2));
        assert_eq!(growth(&replace(json!({"String": "ab"}), "abcde")), Ok(3));
        assert_eq!(growth(&replace(json!({"String": ""}), "abcde")), Ok(6));
        assert_eq!(growth(&replace(json!({"Regex": "x*"}), "abc")), Ok(4));
        assert_eq!(growth(&json!({"type": "Prepend", "prepend": "▁"})), Ok(4));
        let double = replace(json!({"String": "a"}), "aa");
        let sequence = |count: usize| json!({"type": "Sequence", "normalizers": vec![double.clone(); count]});
        assert_eq!(growth(&sequence(12)), Ok(4096));
        for count in [13, 40, 5000] {
            assert!(growth(&sequence(count)).unwrap_err().contains("bytes of one byte"));
        }
    }

    #[test]
    fn a_text_that_may_become_too_long_is_refused() {
        let thousandfold = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "b".repeat(1000)});
        let growth = Growth::of(&thousandfold).unwrap();
        growth.check(&"a".repeat(100_000)).unwrap();
        assert!(growth.check(&"a".repeat(1_000_000)).unwrap_err().contains("shorten the text"));
    }

    #[test]
    fn rules_for_characters() {
        let rules = |size: u32, trie: usize, texts: &[u8]| [&size.to_le_bytes()[..], &vec![0; trie], texts].concat();
        assert_eq!(rules_growth(&rules(8, 8, b"ab\0cde\0")), Ok(3));
        assert_eq!(rules_growth(&rules(4, 4, b"")), Ok(1));
        // A trie of 4 GiB, for which the library would reserve 8 GiB.
        assert!(rules_growth(&rules(u32::MAX, 8, b"")).is_err());
        assert!(rules_growth(&rules(0, 0, b"ab")).is_err());
        assert!(rules_growth(b"ab").is_err());
    }

    #[test]
    fn base_64_has_three_bytes_in_four_digits() {
        for (text, bytes) in
            [("", &b""[..]), ("TQ==", b"M"), ("TWE=", b"Ma"), ("TWFu", b"Man"), ("/+8A", b"\xff\xef\0")]
        {
            assert_eq!(base64(text).unwrap(), bytes, "{text}");
        }
        assert_eq!(base64("T Q="), None);
    }
}
