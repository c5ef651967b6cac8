//! Characters given on the command line.

/// Reads an ASCII character, or `\t` for a tab.
pub fn ascii(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        b"\\t" => Ok(b'\t'),
        _ => Err("it must be one ASCII character, or \\t for a tab".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tab_has_two_spellings() {
        assert_eq!((ascii("\t"), ascii("\\t"), ascii(";")), (Ok(b'\t'), Ok(b'\t'), Ok(b';')));
        assert!(["", "ab", "é"].iter().all(|text| ascii(text).is_err()));
    }
}
