//! Tables for people to read.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;

/// The most characters of a text that a table shows. A cell of a megabyte takes half a minute to lay out.
const LONGEST_TEXT: usize = 10_000;

/// Formats batches as a table, in which long texts end with an ellipsis.
pub fn text_table(batches: &[RecordBatch], options: &FormatOptions) -> Result<String, ArrowError> {
    let shown = batches.iter().map(shortened).collect::<Result<Vec<_>, _>>()?;
    Ok(pretty_format_batches_with_options(&shown, options)?.to_string())
}

fn shortened(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(shortened_column).collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn shortened_column(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if !matches!(column.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        return Ok(Arc::clone(column));
    }
    let texts = cast(column, &DataType::Utf8View)?;
    let texts = texts.as_string_view();
    if texts.iter().flatten().all(|text| text.len() <= LONGEST_TEXT) {
        return Ok(Arc::clone(column));
    }
    let texts: StringViewArray = texts.iter().map(|text| text.map(cut)).collect();
    cast(&texts, column.data_type())
}

fn cut(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{LargeStringArray, StringArray};

    use super::*;

    #[test]
    fn long_texts_are_cut_in_every_type() {
        let texts = ["é".repeat(LONGEST_TEXT + 1), "é".repeat(LONGEST_TEXT), "short".into()];
        let columns: [(&str, ArrayRef); 3] = [
            ("a", Arc::new(StringArray::from_iter_values(&texts))),
            ("b", Arc::new(LargeStringArray::from_iter_values(&texts))),
            ("c", Arc::new(StringViewArray::from_iter_values(&texts))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let table = text_table(&[batch], &FormatOptions::default().with_types_info(true)).unwrap();
        for kind in ["| Utf8 ", "| LargeUtf8 ", "| Utf8View "] {
            assert!(table.contains(kind), "{kind}");
        }
        assert_eq!(table.matches(&format!("| {}… ", texts[1])).count(), 3);
        assert_eq!(table.matches(&format!("| {}  ", texts[1])).count(), 3);
        assert_eq!(table.matches("| short ").count(), 3);
    }
}
