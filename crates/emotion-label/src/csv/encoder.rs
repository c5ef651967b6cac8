//! The fields that are added to records.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::csv::field;
use crate::error::{Fault, FileError};
use crate::options::Options;
use crate::records::RowEncoder;
use crate::text_encoding::TextEncoding;

/// Writes fields as CSV.
pub(crate) struct CsvEncoder {
    options: Options,
    encoding: TextEncoding,
    /// The fields of the rows to come, row after row, encoded.
    fields: Vec<u8>,
    ends: Vec<usize>,
}

impl CsvEncoder {
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone(), encoding: TextEncoding::Utf8, fields: Vec::new(), ends: Vec::new() }
    }

    fn encode(&self, text: &str, out: &mut Vec<u8>) -> Result<(), FileError> {
        self.encoding.encode(text, out).map_err(|character| {
            let what = format!("{} has no character '{character}' of an added field", self.encoding.name());
            FileError::Unsupported(Fault::new(what, self.options.place(), "convert the file to UTF-8"))
        })
    }

    fn append(&self, value: Option<&str>, line: &mut String) {
        line.push(char::from(self.options.delimiter));
        if let Some(value) = value {
            field::append(value, self.options.delimiter, self.options.escape, line);
        }
    }
}

impl RowEncoder for CsvEncoder {
    fn begin(&mut self, encoding: TextEncoding) {
        self.encoding = encoding;
    }

    fn names(&self, added: &SchemaRef, out: &mut Vec<u8>) -> Result<(), FileError> {
        let mut line = String::new();
        for field in added.fields() {
            self.append(Some(field.name()), &mut line);
        }
        self.encode(&line, out)
    }

    fn load(&mut self, added: &RecordBatch) -> Result<(), FileError> {
        let options = FormatOptions::default();
        let columns = added.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let columns = columns.collect::<Result<Vec<_>, _>>();
        let columns = columns.map_err(|_| FileError::Protocol("an added column cannot be written as CSV"))?;
        let (mut fields, mut line) = (std::mem::take(&mut self.fields), String::new());
        fields.clear();
        self.ends.clear();
        for row in 0..added.num_rows() {
            line.clear();
            for (column, formatter) in added.columns().iter().zip(&columns) {
                let value = column.is_valid(row).then(|| formatter.value(row).to_string());
                self.append(value.as_deref(), &mut line);
            }
            self.encode(&line, &mut fields)?;
            self.ends.push(fields.len());
        }
        self.fields = fields;
        Ok(())
    }

    fn row(&self, row: usize, fields: usize, columns: usize, out: &mut Vec<u8>) -> Result<(), FileError> {
        for _ in fields..columns {
            self.encode(char::from(self.options.delimiter).encode_utf8(&mut [0; 4]), out)?;
        }
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        out.extend_from_slice(&self.fields[start..self.ends[row]]);
        Ok(())
    }
}
