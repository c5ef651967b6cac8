//! Text files that are compressed as a whole.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use bytes::Bytes;
use flate2::write::{GzEncoder, MultiGzDecoder};
use zstd::stream::raw;
use zstd::stream::zio::Writer;

use crate::error::{Fault, FileError};
use crate::format::Compression;
use crate::options::Options;
use crate::step::{Copier, CopyStep, TextReader, TextStep, chunk};

/// The level of zstd that its own program uses.
const ZSTD_LEVEL: i32 = 3;

/// Decompresses chunks.
struct Decompressor {
    options: Options,
    decoder: Decoder,
}

enum Decoder {
    None,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd(Box<Writer<Vec<u8>, raw::Decoder<'static>>>),
    /// It is opened with the first bytes.
    New(Compression),
}

impl Decoder {
    fn open(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Compression::Zstd => Self::Zstd(Box::new(Writer::new(Vec::new(), raw::Decoder::new()?))),
        })
    }

    /// Decompresses a chunk, or the end of the input.
    fn decompress(&mut self, chunk: Option<Bytes>) -> io::Result<Option<Bytes>> {
        if let (Self::New(compression), Some(_)) = (&self, &chunk) {
            *self = Self::open(*compression)?;
        }
        let output = match (self, &chunk) {
            (Self::None | Self::New(_), _) => return Ok(chunk),
            (Self::Gzip(decoder), Some(chunk)) => {
                decoder.write_all(chunk)?;
                decoder.get_mut()
            }
            (Self::Gzip(decoder), None) => {
                decoder.try_finish()?;
                decoder.get_mut()
            }
            (Self::Zstd(decoder), Some(chunk)) => {
                decoder.write_all(chunk)?;
                decoder.flush()?;
                decoder.writer_mut()
            }
            (Self::Zstd(decoder), None) => {
                decoder.finish()?;
                decoder.writer_mut()
            }
        };
        let output = Bytes::from(std::mem::take(output));
        // At the end, an empty chunk would ask for more.
        Ok(Some(output).filter(|output| chunk.is_some() || !output.is_empty()))
    }
}

impl Decompressor {
    fn new(compression: Option<Compression>, options: &Options) -> Self {
        Self { options: options.clone(), decoder: compression.map_or(Decoder::None, Decoder::New) }
    }

    fn supply(&mut self, bytes: Vec<Bytes>) -> Result<Vec<Bytes>, FileError> {
        let output = self.decoder.decompress(chunk(bytes)?).map_err(|_| {
            let what = "the file is not compressed as its name says, or is not complete";
            FileError::Damaged(Fault::new(what, self.options.place(), "compress it again, or download it again"))
        })?;
        Ok(output.into_iter().collect())
    }
}

/// Reads the texts of a compressed file.
pub(crate) struct CompressedTexts {
    reader: Box<dyn TextReader>,
    decompressor: Decompressor,
}

impl CompressedTexts {
    pub fn new(reader: Box<dyn TextReader>, compression: Compression, options: &Options) -> Self {
        Self { reader, decompressor: Decompressor::new(Some(compression), options) }
    }
}

impl TextReader for CompressedTexts {
    fn step(&mut self) -> Result<TextStep, FileError> {
        self.reader.step()
    }

    fn supply(&mut self, bytes: Vec<Bytes>) -> Result<(), FileError> {
        self.reader.supply(self.decompressor.supply(bytes)?)
    }
}

/// Copies a file that is compressed, or is to be.
pub(crate) struct CompressedCopier {
    copier: Box<dyn Copier>,
    decompressor: Decompressor,
    encoder: Encoder,
    plain: Vec<u8>,
}

enum Encoder {
    None,
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Zstd(Box<Writer<Vec<u8>, raw::Encoder<'static>>>),
    New(Compression),
    Finished,
}

impl Encoder {
    fn open(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(Box::new(GzEncoder::new(Vec::new(), flate2::Compression::default()))),
            Compression::Zstd => Self::Zstd(Box::new(Writer::new(Vec::new(), raw::Encoder::new(ZSTD_LEVEL)?))),
        })
    }

    /// Compresses bytes, and all that was held back at the end.
    fn compress(&mut self, plain: &[u8], is_end: bool, out: &mut Vec<u8>) -> io::Result<()> {
        if let Self::New(compression) = self {
            *self = Self::open(*compression)?;
        }
        match self {
            Self::None => out.extend_from_slice(plain),
            Self::Gzip(encoder) => {
                encoder.write_all(plain)?;
                if is_end {
                    encoder.try_finish()?;
                }
                out.append(encoder.get_mut());
            }
            Self::Zstd(encoder) => {
                encoder.write_all(plain)?;
                if is_end {
                    encoder.finish()?;
                }
                out.append(encoder.writer_mut());
            }
            Self::New(_) | Self::Finished => {}
        }
        if is_end {
            *self = Self::Finished;
        }
        Ok(())
    }
}

impl CompressedCopier {
    pub fn new(
        copier: Box<dyn Copier>,
        input: Option<Compression>,
        output: Option<Compression>,
        options: &Options,
    ) -> Self {
        let encoder = output.map_or(Encoder::None, Encoder::New);
        Self { copier, decompressor: Decompressor::new(input, options), encoder, plain: Vec::new() }
    }
}

impl Copier for CompressedCopier {
    fn step(&mut self, out: &mut Vec<u8>) -> Result<CopyStep, FileError> {
        let step = self.copier.step(&mut self.plain)?;
        let compressed = self.encoder.compress(&self.plain, step == CopyStep::End, out);
        compressed.map_err(|_| FileError::Protocol("the output cannot be compressed"))?;
        self.plain.clear();
        Ok(step)
    }

    fn supply(&mut self, bytes: Vec<Bytes>) -> Result<(), FileError> {
        self.copier.supply(self.decompressor.supply(bytes)?)
    }

    fn add(&mut self, added: &RecordBatch) -> Result<(), FileError> {
        self.copier.add(added)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read};
    use std::sync::Arc;

    use arrow::array::{Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use flate2::read::MultiGzDecoder as GzReader;

    use super::*;
    use crate::drive;
    use crate::format::FileType;
    use crate::open;

    fn options() -> Options {
        Options::new("a", "text", Arc::new(Schema::new(vec![Field::new("label", DataType::Utf8, true)])))
    }

    fn copy(name: &str, input: &[u8], output: Option<Compression>) -> Result<Vec<u8>, drive::DriveError> {
        let (kind, options, mut out) = (FileType::of(name).unwrap(), options(), Vec::new());
        let mut copier = open::copier(kind, None, output, &options)?;
        drive::copy(&mut *copier, &mut Cursor::new(input), &mut out, |_, rows| {
            let label = StringArray::from(vec!["joy"; rows]);
            RecordBatch::try_new(options.added.clone(), vec![Arc::new(label)]).unwrap()
        })?;
        Ok(out)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn plain(bytes: &[u8]) -> String {
        let mut text = String::new();
        GzReader::new(bytes).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn compressed_files_are_copied_and_compressed_again() {
        // Members that follow each other are one file.
        let input = [gzip(b"text\na\n"), gzip(b"b\n")].concat();
        let after = "text,label\na,joy\nb,joy\n";
        assert_eq!(plain(&copy("a.csv.gz", &input, Some(Compression::Gzip)).unwrap()), after);
        assert_eq!(copy("a.csv.gz", &input, None).unwrap(), after.as_bytes());
        let input = zstd::encode_all(&b"{\"text\":\"a\"}\n"[..], 1).unwrap();
        let output = copy("a.jsonl.zst", &input, Some(Compression::Zstd)).unwrap();
        assert_eq!(zstd::decode_all(&output[..]).unwrap(), b"{\"text\":\"a\",\"label\":\"joy\"}\n");
        assert_eq!(plain(&copy("a.csv", b"text\na\n", Some(Compression::Gzip)).unwrap()), "text,label\na,joy\n");
    }

    #[test]
    fn texts_of_compressed_files_are_read() {
        let input = gzip(b"text\na\nb\n");
        let mut reader = open::texts(FileType::of("a.csv.gz").unwrap(), None, &options()).unwrap();
        let mut rows = 0;
        drive::read_texts(&mut *reader, &mut Cursor::new(input), |batch| rows += batch.texts.len()).unwrap();
        assert_eq!(rows, 2);
    }

    #[test]
    fn damaged_files_are_refused() {
        let text = "text\n".to_string() + &"a line of text\n".repeat(1000);
        let (gzip, zstd) = (gzip(text.as_bytes()), zstd::encode_all(text.as_bytes(), 1).unwrap());
        for (name, input) in [("a.csv.gz", &gzip), ("a.csv.zst", &zstd)] {
            for cut in [input.len() / 2, input.len() - 1] {
                assert!(copy(name, &input[..cut], None).is_err(), "{name} {cut}");
            }
            assert!(copy(name, text.as_bytes(), None).is_err(), "{name}");
        }
    }
}
