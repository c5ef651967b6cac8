//! How a job reads and writes.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use encoding_rs::Encoding;

use crate::format::{FileType, Format};
use crate::job::codec::Codec;
use crate::job::target::is_separated;
use crate::options::Options;

/// Rows that are read and labeled together, for each core.
const ROWS_A_CORE: usize = 64;

#[derive(Clone)]
pub struct Choices {
    pub text: String,
    pub delimiter: Option<u8>,
    pub escape: Option<u8>,
    pub encoding: Option<&'static Encoding>,
    /// The codec of Parquet, if it is not to be the input's.
    pub codec: Option<Codec>,
    /// Rows of a Parquet row group, if they are not to be the input's.
    pub row_group_rows: Option<usize>,
    /// What a footer says of the model.
    pub model: Vec<(String, String)>,
    pub keep_going: bool,
    /// Time after which labels are kept for good.
    pub commit_every: Duration,
    pub threads: usize,
    /// Whether a cluster labels, whose executors read the files through `DataFusion`.
    pub on_cluster: bool,
}

impl Choices {
    /// The defaults for this column of texts, and what a footer says of the model.
    pub fn new(text: String, model: Vec<(String, String)>) -> Self {
        Self {
            text,
            delimiter: None,
            escape: None,
            encoding: None,
            codec: None,
            row_group_rows: None,
            model,
            keep_going: false,
            commit_every: Duration::from_secs(10),
            threads: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            on_cluster: false,
        }
    }

    /// Rows that are read and labeled together.
    pub fn batch_rows(&self) -> usize {
        self.threads * ROWS_A_CORE
    }

    /// The delimiter of a file of this format.
    pub fn delimiter_of(&self, format: Format) -> u8 {
        self.delimiter.unwrap_or(if format == Format::Tsv { b'\t' } else { b',' })
    }

    /// Whether an output is the input's bytes with columns added, instead of values that are encoded anew.
    pub fn copies(&self, input: Format, output: Format) -> bool {
        match (input, output) {
            (Format::Avro, _) => false,
            (Format::Parquet, Format::Parquet) => self.codec.is_none() && self.row_group_rows.is_none(),
            _ if is_separated(input) && is_separated(output) => self.delimiter_of(input) == self.delimiter_of(output),
            _ => input == output,
        }
    }

    /// How the library reads and copies a file that gets these columns.
    pub fn options(&self, shown: &str, format: Format, added: &SchemaRef) -> Options {
        let mut options = Options::new(shown, &self.text, Arc::clone(added));
        options.delimiter = self.delimiter_of(format);
        options.escape = self.escape;
        options.encoding = self.encoding;
        options.metadata.clone_from(&self.model);
        options
    }
}

/// The type by which the library opens a file, whose delimiter is in the options.
pub fn opened_as(file: FileType) -> FileType {
    let format = if is_separated(file.format) { Format::Csv } else { file.format };
    FileType { format, ..file }
}
