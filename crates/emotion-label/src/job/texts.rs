//! The texts of a file.

use arrow::array::{ArrayRef, RecordBatch};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::error::{FileError, Position};
use crate::format::{FileType, Format};
use crate::job::error::Result;
use crate::job::failure::Failure;
use crate::object::{Object, ObjectReader};
use crate::open;
use crate::options::Options;
use crate::step::{TextBatch, TextReader, TextStep};

/// Texts of a file, in the order of its rows.
pub struct Texts {
    reader: Reader,
    /// The row group that is read.
    row_group: usize,
    /// The next row of it.
    row: u64,
    /// Texts that were read before they were asked for.
    next: Option<TextBatch>,
}

enum Reader {
    File(Box<FileReader>),
    /// The one row group of a format that `DataFusion` reads.
    Table(BoxStream<'static, Result<RecordBatch>>),
}

struct FileReader {
    reader: Box<dyn TextReader>,
    object: ObjectReader,
    format: Format,
}

impl FileReader {
    fn open(object: &Object, file: FileType, options: &Options) -> Result<Self, Failure> {
        let reader = open::texts(file, Some(object.size()), options);
        let reader = reader.map_err(|error| failure(file.format, error))?;
        Ok(Self { reader, object: object.open(), format: file.format })
    }

    async fn next(&mut self, row_group: usize) -> Result<Option<TextBatch>, Failure> {
        loop {
            match self.reader.step().map_err(|error| failure(self.format, error))? {
                TextStep::Need(need) => {
                    let unreadable =
                        |error: object_store::Error| Failure::Input(part(self.format, row_group), error.into());
                    let bytes = self.object.fetch(&need).await.map_err(unreadable)?;
                    self.reader.supply(bytes).map_err(|error| failure(self.format, error))?;
                }
                TextStep::Texts(batch) => return Ok(Some(batch)),
                TextStep::End => return Ok(None),
            }
        }
    }
}

impl Texts {
    /// The texts from the row at which the options start.
    pub fn of_file(object: &Object, file: FileType, options: &Options) -> Result<Self, Failure> {
        let reader = Reader::File(Box::new(FileReader::open(object, file, options)?));
        let (row_group, row) = options.start;
        Ok(Self { reader, row_group, row, next: None })
    }

    pub fn of_table(batches: BoxStream<'static, Result<RecordBatch>>, row: u64) -> Self {
        Self { reader: Reader::Table(batches), row_group: 0, row, next: None }
    }

    /// Whether the next row is this one.
    pub fn is_at(&self, row_group: usize, row: u64) -> bool {
        match &self.next {
            Some(batch) => (batch.row_group, batch.first_row) == (row_group, row),
            None => (self.row_group, self.row) == (row_group, row),
        }
    }

    /// The next texts of a row group; `None` at its end.
    pub async fn next(&mut self, row_group: usize) -> Result<Option<ArrayRef>, Failure> {
        let batch = match self.next.take() {
            Some(batch) => Some(batch),
            None => self.read(row_group).await?,
        };
        match batch {
            Some(batch) if batch.row_group == row_group => {
                self.row_group = row_group;
                self.row = batch.first_row + batch.texts.len() as u64;
                Ok(Some(batch.texts))
            }
            later => {
                self.next = later;
                Ok(None)
            }
        }
    }

    async fn read(&mut self, row_group: usize) -> Result<Option<TextBatch>, Failure> {
        match &mut self.reader {
            Reader::File(reader) => reader.next(row_group).await,
            Reader::Table(batches) => {
                let batch = batches.next().await.transpose().map_err(|error| Failure::Input(None, error))?;
                let texts = batch.map(|batch| batch.column(0).clone());
                Ok(texts.map(|texts| TextBatch { row_group: 0, first_row: self.row, texts }))
            }
        }
    }
}

/// The number of rows of each row group. A file that is not Parquet is read to its end, which shows that it is valid.
pub async fn row_groups(object: &Object, file: FileType, options: &Options) -> Result<Vec<u64>, Failure> {
    let mut file = FileReader::open(object, file, options)?;
    let mut rows = 0;
    loop {
        let step = file.reader.step().map_err(|error| failure(file.format, error))?;
        match step {
            TextStep::Need(need) => {
                let bytes = file.object.fetch(&need).await.map_err(|error| Failure::Input(None, error.into()))?;
                file.reader.supply(bytes).map_err(|error| failure(file.format, error))?;
            }
            TextStep::Texts(batch) => rows += batch.texts.len() as u64,
            TextStep::End => return Ok(vec![rows]),
        }
        if let Some(row_groups) = file.reader.row_groups() {
            return Ok(row_groups);
        }
    }
}

/// The row group that an error names, if the file has such.
fn part(format: Format, row_group: usize) -> Option<usize> {
    (format == Format::Parquet).then_some(row_group)
}

/// Who is at fault for an error, and with which row group.
pub fn failure(format: Format, error: FileError) -> Failure {
    let row_group = match error.fault().map(|fault| fault.place.position) {
        None => return Failure::Other(error.into()),
        Some(Position::RowGroup(row_group) | Position::Row { row_group, .. }) => part(format, row_group),
        Some(_) => None,
    };
    Failure::Input(row_group, error.into())
}
