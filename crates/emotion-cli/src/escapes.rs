//! Characters in other people's texts and names that would control a terminal.

use std::io::{self, Write};

/// The text with symbols in place of control characters, except for tabs and line ends. Characters that change the
/// direction of text, and so can hide parts of a name, become replacement characters.
pub fn visible(text: &str) -> String {
    text.chars().map(picture).collect()
}

fn picture(character: char) -> char {
    match character {
        '\t' | '\n' => character,
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(character)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        other => other,
    }
}

/// Writes what [`visible`] makes of UTF-8 text.
pub struct Visible<W: Write> {
    out: W,
    /// The bytes of a character whose other bytes are yet to be written.
    rest: Vec<u8>,
}

impl<W: Write> Visible<W> {
    pub fn new(out: W) -> Self {
        Self { out, rest: Vec::new() }
    }
}

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend(bytes);
        let whole = match std::str::from_utf8(&self.rest) {
            Ok(text) => text.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.rest.len(),
        };
        let text: Vec<u8> = self.rest.drain(..whole).collect();
        self.out.write_all(visible(&String::from_utf8_lossy(&text)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_pictures() {
        assert_eq!(
            visible("a\u{1b}[31mred\tb\nc\r\u{7f}\u{9b}2J\u{202e} é😀"),
            "a␛[31mred\tb\nc␍␡\u{fffd}2J\u{fffd} é😀"
        );
    }

    #[test]
    fn characters_may_be_written_in_parts() {
        let text = "é\u{9b}😀\u{1b}x";
        for size in 1..5 {
            let mut out = Vec::new();
            let mut writer = Visible::new(&mut out);
            for part in text.as_bytes().chunks(size) {
                writer.write_all(part).unwrap();
            }
            assert_eq!(String::from_utf8(out).unwrap(), visible(text));
        }
    }
}
