//! Content with a digest of itself and of the place it belongs to.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Hexadecimal digits of a digest, with the line breaks around them.
const TRAILER: usize = 2 + 64;

/// The place that content belongs to. Content that is moved to another place, or changed, cannot be opened.
///
/// A seal detects damage and mistakes. It is no signature: whoever can write content can seal it.
#[derive(Clone)]
pub struct Seal(Sha256);

impl Seal {
    /// The place of this name.
    pub fn of(name: &[u8]) -> Self {
        Self(Sha256::new()).at(name)
    }

    /// A place within this one.
    pub fn at(&self, name: &[u8]) -> Self {
        Self(self.0.clone().chain_update((name.len() as u64).to_le_bytes()).chain_update(name))
    }

    /// The content, followed by a line with the digest.
    pub fn close(&self, mut content: Vec<u8>) -> Vec<u8> {
        let trailer = self.trailer(&content);
        content.extend(trailer.into_bytes());
        content
    }

    /// The content that was sealed for this place; `None` if this is other content, or of another place.
    pub fn open(&self, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        let trailer = sealed.split_off(sealed.len().checked_sub(TRAILER)?);
        (self.trailer(&sealed).as_bytes() == trailer).then_some(sealed)
    }

    fn trailer(&self, content: &[u8]) -> String {
        format!("\n{}\n", hexadecimal(self.0.clone().chain_update(content)))
    }
}

/// The digest of a hasher in hexadecimal digits.
pub fn hexadecimal(hasher: Sha256) -> String {
    hasher.finalize().iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let seal = Seal::of(b"job").at(b"a.csv");
        let sealed = seal.close(b"labels".into());
        assert_eq!(seal.open(sealed.clone()).as_deref(), Some(&b"labels"[..]));
        for bit in 0..8 * sealed.len() {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(seal.open(flipped), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(seal.open(sealed[..length].into()), None, "{length} bytes");
        }
    }

    #[test]
    fn content_belongs_to_one_place() {
        let sealed = Seal::of(b"job").at(b"a").at(b"bc").close(b"labels".into());
        assert_eq!(Seal::of(b"job").at(b"ab").at(b"c").open(sealed.clone()), None);
        assert_eq!(Seal::of(b"job").at(b"a").open(sealed), None);
    }
}
