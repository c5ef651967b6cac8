use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Whether a column of this type holds texts; one of NULL's own type holds none, and is one.
pub(crate) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => {
            matches!(**values, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
        }
        _ => false,
    }
}

/// The distinct texts of a column, and which of them each row holds.
#[derive(Debug, PartialEq)]
pub(crate) struct TextColumn<'a> {
    /// Each distinct non-null text once, in order of first occurrence.
    pub distinct: Vec<&'a str>,
    /// The row of each one's first occurrence.
    pub first_rows: Vec<usize>,
    /// For each row its index into `distinct`, or `None` for NULL.
    pub rows: Vec<Option<usize>>,
}

impl<'a> TextColumn<'a> {
    /// Reads a column of one of the types that [`is_text`] accepts; `None` of any other.
    ///
    /// Texts are borrowed, never copied. Of a dictionary only the values that rows refer to count.
    pub(crate) fn read(column: &'a dyn Array) -> Option<Self> {
        if let Some(dictionary) = column.as_any_dictionary_opt() {
            let values = texts(dictionary.values().as_ref())?;
            if values.is_empty() {
                return Some(Self { distinct: vec![], first_rows: vec![], rows: vec![None; column.len()] });
            }
            let keys = dictionary.keys();
            let rows = dictionary.normalized_keys().into_iter().enumerate();
            return Some(Self::from_texts(rows.map(|(row, key)| if keys.is_null(row) { None } else { values[key] })));
        }
        Some(Self::from_texts(texts(column)?.into_iter()))
    }

    fn from_texts(texts: impl Iterator<Item = Option<&'a str>>) -> Self {
        let (mut distinct, mut first_rows) = (Vec::new(), Vec::new());
        let mut seen = HashMap::new();
        let mut index_of = |row, text| match seen.entry(text) {
            Entry::Occupied(index) => *index.get(),
            Entry::Vacant(vacant) => {
                distinct.push(text);
                first_rows.push(row);
                *vacant.insert(distinct.len() - 1)
            }
        };
        let rows = texts.enumerate().map(|(row, text)| text.map(|text| index_of(row, text))).collect();
        Self { distinct, first_rows, rows }
    }

    /// How many rows are NULL.
    pub(crate) fn null_count(&self) -> usize {
        self.rows.iter().filter(|row| row.is_none()).count()
    }
}

/// The column without its dictionary, if it has one, for [`text_at`].
pub(crate) fn plain(column: ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Dictionary(_, values) => cast(&column, values),
        _ => Ok(column),
    }
}

/// The text in one row of a plain column; `None` for NULL, and in a column of another type.
pub(crate) fn text_at(column: &dyn Array, row: usize) -> Option<&str> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => Some(column.as_string::<i64>().value(row)),
        DataType::Utf8View => Some(column.as_string_view().value(row)),
        _ => None,
    }
}

fn texts(column: &dyn Array) -> Option<Vec<Option<&str>>> {
    Some(match column.data_type() {
        DataType::Null => vec![None; column.len()],
        DataType::Utf8 => column.as_string::<i32>().iter().collect(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().collect(),
        DataType::Utf8View => column.as_string_view().iter().collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, Int8Array, Int64Array, LargeStringArray, StringArray, StringViewArray};
    use arrow::datatypes::Int8Type;

    use super::*;

    const TEXTS: [Option<&str>; 5] = [Some("b"), None, Some(""), Some("b"), Some("a")];

    fn expected() -> TextColumn<'static> {
        TextColumn {
            distinct: vec!["b", "", "a"],
            first_rows: vec![0, 2, 4],
            rows: vec![Some(0), None, Some(1), Some(0), Some(2)],
        }
    }

    #[test]
    fn every_string_type_reads_alike() {
        let arrays: [ArrayRef; 4] = [
            Arc::new(StringArray::from_iter(TEXTS)),
            Arc::new(LargeStringArray::from_iter(TEXTS)),
            Arc::new(StringViewArray::from_iter(TEXTS)),
            Arc::new(DictionaryArray::<Int8Type>::from_iter(TEXTS)),
        ];
        for array in arrays {
            assert!(is_text(array.data_type()));
            assert_eq!(TextColumn::read(&array), Some(expected()), "{}", array.data_type());
            let array = plain(array).unwrap();
            let rows: Vec<_> = (0..TEXTS.len()).map(|row| text_at(&array, row)).collect();
            assert_eq!(rows, TEXTS, "{}", array.data_type());
        }
    }

    #[test]
    fn slices_read_their_own_rows() {
        let array = StringArray::from_iter(TEXTS).slice(2, 2);
        let column = TextColumn::read(&array).unwrap();
        assert_eq!(column.distinct, ["", "b"]);
    }

    #[test]
    fn dictionaries_with_unused_null_or_no_values() {
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("unused"), None, Some("x")]));
        let keys = Int8Array::from(vec![Some(2), Some(1), None]);
        let array = DictionaryArray::new(keys, values);
        let column = TextColumn::read(&array).unwrap();
        assert_eq!((column.distinct, column.rows), (vec!["x"], vec![Some(0), None, None]));

        let empty: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
        let array = DictionaryArray::new(Int8Array::from(vec![None, None]), empty);
        assert_eq!(TextColumn::read(&array).unwrap().rows, [None, None]);
    }

    #[test]
    fn other_types_are_not_text() {
        let array = Int64Array::from(vec![1]);
        assert!(!is_text(array.data_type()));
        assert_eq!(TextColumn::read(&array), None);
    }
}
