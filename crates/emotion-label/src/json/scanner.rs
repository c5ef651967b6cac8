//! Finds the end of an object in a buffer that grows.

/// An object that was found at the start of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The end of the object.
    pub end: usize,
    /// The end of its last member, or of its opening brace.
    pub insert_at: usize,
    pub is_empty: bool,
}

/// The state of the scan of one object; it goes on where the buffer ended.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    at: usize,
    depth: usize,
    is_string: bool,
    is_escaped: bool,
    /// The end of the last byte that is not white space.
    content: usize,
}

impl Scanner {
    /// Finds the object that starts at the start of `bytes`, which only ever grow; `None` if more are needed.
    pub fn scan(&mut self, bytes: &[u8]) -> Option<Found> {
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            if self.is_string {
                self.is_string = self.is_escaped || *byte != b'"';
                self.is_escaped = !self.is_escaped && *byte == b'\\';
                self.content = self.at;
                continue;
            }
            match byte {
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                b'"' => self.is_string = true,
                _ => {}
            }
            if self.depth == 0 {
                let found = Found { end: self.at, insert_at: self.content, is_empty: self.content == 1 };
                *self = Self::default();
                return Some(found);
            }
            if !is_space(*byte) {
                self.content = self.at;
            }
        }
        None
    }
}

pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_end_at_their_brace() {
        let scan = |text: &str| Scanner::default().scan(text.as_bytes()).map(|found| (found.end, found.insert_at));
        assert_eq!(scan("{}x"), Some((2, 1)));
        assert_eq!(scan(r#"{"a":"}\"}" }"#), Some((13, 11)));
        assert_eq!(scan(r#"{"a":[{"b":1}]}{}"#), Some((15, 14)));
        assert_eq!(scan(r#"{"a":"}"#), None);
    }
}
