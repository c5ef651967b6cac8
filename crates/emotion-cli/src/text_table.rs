//! Tables for people to read.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;

/// The most characters of a value that a table shows. A value of a megabyte takes half a minute to lay out.
const LONGEST_VALUE: usize = 10_000;

/// Formats batches as a table, in which long values end with an ellipsis.
pub fn text_table(batches: &[RecordBatch], options: &FormatOptions) -> Result<String, ArrowError> {
    // The header names the types of the first batch, whose columns are not cut.
    let header = batches.first().map(|batch| Ok(RecordBatch::new_empty(batch.schema())));
    let rows = batches.iter().map(|batch| shortened(batch, options));
    let shown = header.into_iter().chain(rows).collect::<Result<Vec<_>, _>>()?;
    Ok(pretty_format_batches_with_options(&shown, options)?.to_string())
}

fn shortened(batch: &RecordBatch, options: &FormatOptions) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(|column| shortened_column(column, options));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let fields = batch.schema_ref().fields().iter().zip(&columns);
    let fields: Vec<_> =
        fields.map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true)).collect();
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)
}

/// The column itself, or the texts of its values if one of them is too long.
fn shortened_column(column: &ArrayRef, options: &FormatOptions) -> Result<ArrayRef, ArrowError> {
    if column.data_type().is_primitive() {
        return Ok(Arc::clone(column));
    }
    let formatter = ArrayFormatter::try_new(column, options)?;
    let mut is_cut = false;
    let texts: StringArray = (0..column.len())
        .map(|row| {
            let mut text = formatter.value(row).to_string();
            if let Some((end, _)) = text.char_indices().nth(LONGEST_VALUE) {
                text.truncate(end);
                text.push('…');
                is_cut = true;
            }
            Some(text)
        })
        .collect();
    Ok(if is_cut { Arc::new(texts) } else { Arc::clone(column) })
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, LargeStringArray, ListArray, StringViewArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn long_values_are_cut_in_every_type() {
        let texts = ["é".repeat(LONGEST_VALUE + 1), "é".repeat(LONGEST_VALUE), "short".into()];
        let dictionary: DictionaryArray<Int32Type> = texts.iter().map(String::as_str).collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("a", Arc::new(StringArray::from_iter_values(&texts))),
            ("b", Arc::new(LargeStringArray::from_iter_values(&texts))),
            ("c", Arc::new(StringViewArray::from_iter_values(&texts))),
            ("d", Arc::new(dictionary)),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let table = text_table(&[batch], &FormatOptions::default().with_types_info(true)).unwrap();
        for kind in ["| Utf8 ", "| LargeUtf8 ", "| Utf8View ", "| Dictionary("] {
            assert!(table.contains(kind), "{kind}");
        }
        assert_eq!(table.matches(&format!("| {}… ", texts[1])).count(), 4);
        assert_eq!(table.matches(&format!("| {}  ", texts[1])).count(), 4);
        assert_eq!(table.matches("| short ").count(), 4);
    }

    #[test]
    fn long_lists_are_cut() {
        let numbers = (0..100_000).map(Some);
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(numbers), None]);
        let batch = RecordBatch::try_from_iter([("list", Arc::new(list) as ArrayRef)]).unwrap();
        let table = text_table(&[batch], &FormatOptions::default().with_null("NULL")).unwrap();
        assert_eq!(table.matches("… |").count(), 1);
        assert_eq!(table.matches("| NULL ").count(), 1);
    }
}
