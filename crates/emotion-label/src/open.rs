//! Readers and copiers of each format.

use crate::arrow_file::copier::ArrowCopier;
use crate::arrow_file::texts::ArrowTexts;
use crate::compression::{CompressedCopier, CompressedTexts};
use crate::csv::encoder::CsvEncoder;
use crate::csv::reader::CsvReader;
use crate::error::{Fault, FileError};
use crate::format::{Compression, FileType, Format};
use crate::json::encoder::JsonEncoder;
use crate::json::reader::JsonReader;
use crate::options::Options;
use crate::parquet::copier::ParquetCopier;
use crate::parquet::texts::ParquetTexts;
use crate::records::{RecordCopier, RecordTexts};
use crate::step::{Copier, TextReader};

/// Opens the text column of a file.
///
/// `size` is the number of bytes of the file, as it is stored, or `None` for a pipe. Parquet needs it; with it, Arrow
/// files are read by their footer.
///
/// # Errors
///
/// [`FileError::Unsupported`], if the format cannot be read in this way, or the options contradict each other.
pub fn texts(file: FileType, size: Option<u64>, options: &Options) -> Result<Box<dyn TextReader>, FileError> {
    let reader = plain_texts(file.format, size, options)?;
    Ok(match file.compression {
        Some(compression) => Box::new(CompressedTexts::new(reader, compression, options)),
        None => reader,
    })
}

fn plain_texts(format: Format, size: Option<u64>, options: &Options) -> Result<Box<dyn TextReader>, FileError> {
    Ok(match format {
        Format::Parquet => Box::new(ParquetTexts::new(options, known(size, options)?)),
        Format::Csv | Format::Tsv => {
            let options = separated(format, options);
            let reader = CsvReader::new(&options, true)?;
            Box::new(RecordTexts::new(reader, &options))
        }
        Format::Json => Box::new(RecordTexts::new(JsonReader::new(options, true), options)),
        Format::Arrow => Box::new(ArrowTexts::new(options, size)),
        Format::Avro => return Err(unsupported(format, options)),
    })
}

/// Opens a file to copy it with columns added, as [`texts`] opens it; `output` compresses the copy as a whole.
///
/// # Errors
///
/// [`FileError::Unsupported`], if the format cannot be copied, or the options contradict each other.
pub fn copier(
    file: FileType,
    size: Option<u64>,
    output: Option<Compression>,
    options: &Options,
) -> Result<Box<dyn Copier>, FileError> {
    let copier = plain_copier(file.format, size, options)?;
    if output.is_some() && !file.format.is_text() {
        let what = format!("{} is not compressed as a whole", file.format.name());
        let fault = Fault::new(what, options.place(), "choose a name without .gz or .zst");
        return Err(FileError::Unsupported(fault));
    }
    Ok(match (file.compression, output) {
        (None, None) => copier,
        (input, output) => Box::new(CompressedCopier::new(copier, input, output, options)),
    })
}

fn plain_copier(format: Format, size: Option<u64>, options: &Options) -> Result<Box<dyn Copier>, FileError> {
    Ok(match format {
        Format::Parquet => Box::new(ParquetCopier::new(options, known(size, options)?)),
        Format::Csv | Format::Tsv => {
            let options = separated(format, options);
            let reader = CsvReader::new(&options, false)?;
            Box::new(RecordCopier::new(reader, CsvEncoder::new(&options), &options))
        }
        Format::Json => Box::new(RecordCopier::new(JsonReader::new(options, false), JsonEncoder::default(), options)),
        Format::Arrow => Box::new(ArrowCopier::new(options, size)),
        Format::Avro => return Err(unsupported(format, options)),
    })
}

fn known(size: Option<u64>, options: &Options) -> Result<u64, FileError> {
    if size == Some(0) {
        return Err(FileError::Damaged(Fault::new("the file is empty", options.place(), "write the file again")));
    }
    let what = "Parquet cannot be read from a pipe: its footer is at the end";
    size.ok_or_else(|| FileError::Unsupported(Fault::new(what, options.place(), "write it to a file first")))
}

fn separated(format: Format, options: &Options) -> Options {
    let mut options = options.clone();
    if format == Format::Tsv && options.delimiter == b',' {
        options.delimiter = b'\t';
    }
    options
}

fn unsupported(format: Format, options: &Options) -> FileError {
    let what = format!("{} cannot be copied", format.name());
    FileError::Unsupported(Fault::new(what, options.place(), "choose another output: --format parquet"))
}
