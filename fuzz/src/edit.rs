//! Edits of valid content, which reach further into a reader than arbitrary bytes do.

/// The content with bytes replaced: three bytes an edit, of which two are the offset and one is the value.
///
/// An offset beyond the end is taken modulo the length; empty content stays as it is.
#[must_use]
pub fn edited(content: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    if content.is_empty() {
        return content;
    }
    for edit in edits.chunks_exact(3) {
        let offset = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % content.len();
        content[offset] = edit[2];
    }
    content
}
