//! Encodings of text.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, EncoderResult, Encoding, ISO_2022_JP, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};

use crate::error::{Fault, FileError, Place};

/// The encoding of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextEncoding {
    Utf8,
    Utf16 {
        little_endian: bool,
    },
    /// An encoding in which an ASCII character is one byte, though a byte may be part of another character.
    Bytes(&'static Encoding),
}

impl TextEncoding {
    /// The encoding that was asked for, if files in it can be split at the bytes of `separators`.
    pub fn new(encoding: Option<&'static Encoding>, separators: &[u8], place: Place) -> Result<Self, FileError> {
        let Some(encoding) = encoding else { return Ok(Self::Utf8) };
        if encoding == UTF_8 {
            return Ok(Self::Utf8);
        }
        if encoding == UTF_16LE || encoding == UTF_16BE {
            return Ok(Self::Utf16 { little_endian: encoding == UTF_16LE });
        }
        // In these encodings the second byte of a character may be one of @ to ~.
        let is_ambiguous = !encoding.is_single_byte() && separators.iter().any(|byte| (0x40..0x7f).contains(byte));
        if encoding == ISO_2022_JP || encoding == REPLACEMENT || is_ambiguous {
            let what = format!("{} with these separators cannot be split into fields", encoding.name());
            return Err(FileError::Unsupported(Fault::new(what, place, "convert the file to UTF-8")));
        }
        Ok(Self::Bytes(encoding))
    }

    /// The encoding that a byte order mark stands for, and the length of the mark.
    pub fn of_mark(bytes: &[u8]) -> Option<(Self, usize)> {
        let (encoding, length) = Encoding::for_bom(bytes)?;
        let encoding = if encoding == UTF_8 { Self::Utf8 } else { Self::Utf16 { little_endian: encoding == UTF_16LE } };
        Some((encoding, length))
    }

    /// Bytes of an ASCII character.
    pub fn width(self) -> usize {
        if matches!(self, Self::Utf16 { .. }) { 2 } else { 1 }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16 { little_endian: true } => "UTF-16LE",
            Self::Utf16 { little_endian: false } => "UTF-16BE",
            Self::Bytes(encoding) => encoding.name(),
        }
    }

    /// The character at the start of `bytes` if it is ASCII, or 0xff for a part of any other; `None` at the end.
    pub fn ascii(self, bytes: &[u8]) -> Option<u8> {
        match self {
            Self::Utf8 | Self::Bytes(_) => bytes.first().copied(),
            Self::Utf16 { little_endian } => {
                let (low, high) = if little_endian { (0, 1) } else { (1, 0) };
                let unit = bytes.get(..2)?;
                Some(if unit[high] == 0 { unit[low] } else { 0xff })
            }
        }
    }

    /// The text, or the offset of the first byte that is not valid.
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, usize> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| error.valid_up_to()),
            Self::Utf16 { little_endian } => decode(if little_endian { UTF_16LE } else { UTF_16BE }, bytes),
            Self::Bytes(encoding) => decode(encoding, bytes),
        }
    }

    /// Appends a text, or returns the character that the encoding does not have.
    pub fn encode(self, text: &str, out: &mut Vec<u8>) -> Result<(), char> {
        match self {
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Utf16 { little_endian } => {
                let bytes = |unit: u16| if little_endian { unit.to_le_bytes() } else { unit.to_be_bytes() };
                out.extend(text.encode_utf16().flat_map(bytes));
            }
            Self::Bytes(encoding) => {
                let mut encoder = encoding.new_encoder();
                let length = encoder.max_buffer_length_from_utf8_without_replacement(text.len());
                let mut bytes = vec![0; length.unwrap_or(4 * text.len() + 16)];
                let (result, _, written) = encoder.encode_from_utf8_without_replacement(text, &mut bytes, true);
                if let EncoderResult::Unmappable(character) = result {
                    return Err(character);
                }
                out.extend_from_slice(&bytes[..written]);
            }
        }
        Ok(())
    }
}

fn decode<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Result<Cow<'a, str>, usize> {
    if let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(bytes) {
        return Ok(text);
    }
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = vec![0; decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(0)];
    let (result, read, _) = decoder.decode_to_utf8_without_replacement(bytes, &mut text, true);
    match result {
        DecoderResult::Malformed(length, after) => Err(read - usize::from(length) - usize::from(after)),
        DecoderResult::InputEmpty | DecoderResult::OutputFull => Err(read),
    }
}
