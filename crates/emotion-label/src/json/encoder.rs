//! The members that are added to objects.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;

use crate::error::FileError;
use crate::records::RowEncoder;

/// Writes members of objects.
#[derive(Default)]
pub(crate) struct JsonEncoder {
    /// An object per row, each with its line end.
    objects: Vec<u8>,
    ends: Vec<usize>,
}

impl RowEncoder for JsonEncoder {
    fn names(&self, _: &SchemaRef, _: &mut Vec<u8>) -> Result<(), FileError> {
        Ok(())
    }

    fn load(&mut self, added: &RecordBatch) -> Result<(), FileError> {
        let builder = WriterBuilder::new().with_explicit_nulls(true);
        let mut writer = builder.build::<_, LineDelimited>(Vec::new());
        let written = writer.write(added).and_then(|()| writer.finish());
        written.map_err(|_| FileError::Protocol("an added column cannot be written as JSON"))?;
        self.objects = writer.into_inner();
        let ends = self.objects.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        self.ends = ends.collect();
        Ok(())
    }

    fn row(&self, row: usize, fields: usize, _: usize, out: &mut Vec<u8>) -> Result<(), FileError> {
        let start = if row == 0 { 0 } else { self.ends[row - 1] + 1 };
        let object = &self.objects[start..self.ends[row]];
        let members = &object[1..object.len() - 1];
        if fields > 0 && !members.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(members);
        Ok(())
    }
}
