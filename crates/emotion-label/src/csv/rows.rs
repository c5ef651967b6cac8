//! Record batches as CSV. Arrow's writer would write the empty text as it writes NULL.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::csv::field;

/// Appends the record of the columns' names.
pub(crate) fn append_header(schema: &Schema, delimiter: u8, lines: &mut String) {
    for (index, column) in schema.fields().iter().enumerate() {
        separate(index, delimiter, lines);
        field::append(column.name(), delimiter, None, lines);
    }
    lines.push('\n');
}

/// Appends a record per row; NULL is an empty field, and the empty text is `""`.
pub(crate) fn append_rows(batch: &RecordBatch, delimiter: u8, lines: &mut String) -> Result<(), ArrowError> {
    let options = FormatOptions::default();
    let columns = batch.columns().iter().map(|column| {
        let formatter = ArrayFormatter::try_new(column, &options)?;
        Ok((formatter, column.logical_nulls()))
    });
    let columns = columns.collect::<Result<Vec<_>, ArrowError>>()?;
    let mut value = String::new();
    for row in 0..batch.num_rows() {
        for (index, (formatter, nulls)) in columns.iter().enumerate() {
            separate(index, delimiter, lines);
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            value.clear();
            formatter.value(row).write(&mut value)?;
            field::append(&value, delimiter, None, lines);
        }
        lines.push('\n');
    }
    Ok(())
}

fn separate(index: usize, delimiter: u8, line: &mut String) {
    if index > 0 {
        line.push(char::from(delimiter));
    }
}
