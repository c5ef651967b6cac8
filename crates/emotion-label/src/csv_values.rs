//! Columns of a CSV file that would have other values as numbers.

use std::collections::BTreeSet;
use std::io::Read;

use arrow::datatypes::DataType;
use csv::{ByteRecord, ReaderBuilder};

/// Significant digits that a double always keeps are 15, and programs write doubles with up to 17.
const MOST_DIGITS: usize = 17;
/// The integers up to this one are doubles.
const LARGEST_INTEGER: u64 = 1 << 53;

/// The columns among `columns`, given by index and type, that have a value which their type would change: `02134`,
/// `1e999`, or a number of more digits than a double holds.
pub(crate) fn changed(
    reader: impl Read,
    delimiter: u8,
    escape: Option<u8>,
    mut columns: Vec<(usize, DataType)>,
) -> csv::Result<BTreeSet<usize>> {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).double_quote(escape.is_none()).escape(escape).flexible(true);
    let (mut reader, mut record) = (builder.from_reader(reader), ByteRecord::new());
    let mut changed = BTreeSet::new();
    while !columns.is_empty() && reader.read_byte_record(&mut record)? {
        columns.retain(|(index, data_type)| {
            let is_kept = record.get(*index).is_none_or(|value| is_kept(value, data_type));
            if !is_kept {
                changed.insert(*index);
            }
            is_kept
        });
    }
    Ok(changed)
}

/// Whether a number of this type has the value that is written.
fn is_kept(written: &[u8], data_type: &DataType) -> bool {
    let Ok(written) = std::str::from_utf8(written) else { return false };
    let digits = written.trim_start_matches('-');
    if let [b'0', next, ..] = digits.as_bytes()
        && *next != b'.'
    {
        return false;
    }
    if *data_type == DataType::Int64 {
        return written != "-0";
    }
    let Ok(value) = written.parse::<f64>() else { return written.is_empty() };
    if !digits.contains(['.', 'e', 'E']) {
        return digits.parse::<u64>().is_ok_and(|integer| integer <= LARGEST_INTEGER);
    }
    let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
    let significant = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    significant <= MOST_DIGITS && value.is_finite() && (value != 0.0 || significant == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_type_would_change_are_told_apart() {
        for kept in ["", "0", "7", "-7", "120", "9223372036854775807"] {
            assert!(is_kept(kept.as_bytes(), &DataType::Int64), "{kept}");
        }
        for changed in ["02134", "-007", "00", "-0"] {
            assert!(!is_kept(changed.as_bytes(), &DataType::Int64), "{changed}");
        }
        for kept in ["", "0", "0.5", ".5", "5.", "-1.10", "0.0", "-0.000", "1e5", "2.5E-3", "0.30000000000000004"] {
            assert!(is_kept(kept.as_bytes(), &DataType::Float64), "{kept}");
        }
        for changed in ["02.5", "0e12345", "1e999", "1e-999", "9007199254740993", "0.123456789012345678", "x"] {
            assert!(!is_kept(changed.as_bytes(), &DataType::Float64), "{changed}");
        }
    }

    #[test]
    fn columns_are_found_by_any_of_their_values() {
        let file = "zip;id;note;share\n1;1;\"a\n;b\";0.5\n\"02134\";2;07;1e999\n3\n";
        let columns = vec![(0, DataType::Int64), (1, DataType::Int64), (3, DataType::Float64)];
        assert_eq!(changed(file.as_bytes(), b';', None, columns).unwrap(), [0, 3].into());
    }
}
