//! Columns of a CSV file whose type does not hold their values.

use std::collections::BTreeSet;
use std::io::Read;

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimeUnit};
use csv::{ByteRecord, ReaderBuilder};

/// Significant digits that a double always keeps are 15, and programs write doubles with up to 17.
const MOST_DIGITS: usize = 17;
/// Every integer up to this one is a double.
pub(crate) const LARGEST_INTEGER: u64 = 1 << 53;

/// The columns among `columns`, given by index and type, that have a value for which `holds` is false.
pub(crate) fn failing(
    reader: impl Read,
    delimiter: u8,
    escape: Option<u8>,
    mut columns: Vec<(usize, DataType)>,
    holds: fn(&str, &DataType) -> bool,
) -> csv::Result<BTreeSet<usize>> {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).escape(escape).flexible(true);
    let (mut reader, mut record) = (builder.from_reader(reader), ByteRecord::new());
    let mut failing = BTreeSet::new();
    while !columns.is_empty() && reader.read_byte_record(&mut record)? {
        columns.retain(|(index, data_type)| {
            let value = record.get(*index).unwrap_or_default();
            let does_hold = value.is_empty() || std::str::from_utf8(value).is_ok_and(|value| holds(value, data_type));
            if !does_hold {
                failing.insert(*index);
            }
            does_hold
        });
    }
    Ok(failing)
}

/// Whether Arrow reads a value of this type from what is written.
pub(crate) fn is_readable(written: &str, data_type: &DataType) -> bool {
    match data_type {
        DataType::Int64 => Int64Type::parse(written).is_some(),
        DataType::Float64 => Float64Type::parse(written).is_some(),
        DataType::Date32 => Date32Type::parse(written).is_some(),
        DataType::Timestamp(unit, _) => {
            let time = "+00:00".parse::<Tz>().and_then(|utc| string_to_datetime(&utc, written));
            time.is_ok_and(|time| *unit != TimeUnit::Nanosecond || time.timestamp_nanos_opt().is_some())
        }
        _ => true,
    }
}

/// Whether a value of this type is what is written: `02134`, `1e999`, a number of more digits than a double holds, and
/// a time with an offset are other values then, or none.
pub(crate) fn is_kept(written: &str, data_type: &DataType) -> bool {
    is_readable(written, data_type)
        && match data_type {
            DataType::Int64 | DataType::Float64 => is_number_kept(written, data_type),
            DataType::Timestamp(..) => !has_offset(written),
            _ => true,
        }
}

/// Whether a time says at which place it is.
fn has_offset(time: &str) -> bool {
    /// The length of `2024-03-31T`.
    const DATE: usize = 11;
    time.bytes().skip(DATE).any(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'+' | b'-'))
}

fn is_number_kept(written: &str, data_type: &DataType) -> bool {
    let digits = written.trim_start_matches('-');
    if let [b'0', next, ..] = digits.as_bytes()
        && *next != b'.'
    {
        return false;
    }
    if *data_type == DataType::Int64 {
        return written != "-0";
    }
    let Ok(value) = written.parse::<f64>() else { return false };
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
        for kept in ["0", "7", "-7", "120", "9223372036854775807"] {
            assert!(is_kept(kept, &DataType::Int64), "{kept}");
        }
        for changed in ["02134", "-007", "00", "-0", "１２"] {
            assert!(!is_kept(changed, &DataType::Int64), "{changed}");
        }
        for kept in ["0", "0.5", ".5", "5.", "-1.10", "0.0", "-0.000", "1e5", "2.5E-3", "0.30000000000000004"] {
            assert!(is_kept(kept, &DataType::Float64), "{kept}");
        }
        for changed in ["02.5", "0e12345", "1e999", "1e-999", "9007199254740993", "0.123456789012345678", "x"] {
            assert!(!is_kept(changed, &DataType::Float64), "{changed}");
        }
    }

    #[test]
    fn times_that_a_type_would_change_or_not_read_are_told_apart() {
        let second = DataType::Timestamp(TimeUnit::Second, None);
        let nanosecond = DataType::Timestamp(TimeUnit::Nanosecond, None);
        assert!(is_kept("2024-02-29", &DataType::Date32));
        for date in ["0000-00-00", "2024-02-30"] {
            assert!(!is_readable(date, &DataType::Date32), "{date}");
        }
        assert!(is_kept("2024-03-31T00:30:00", &second) && is_kept("2024-03-31 00:30:00", &second));
        for changed in ["2024-03-31T00:30:00+02:00", "2024-03-31T00:30:00-0200", "2024-03-31T00:30:00Z"] {
            assert!(is_readable(changed, &second) && !is_kept(changed, &second), "{changed}");
        }
        for wrong in ["2024-03-31 25:00:00", "0000-00-00 00:00:00", "2024-03-31 00:30:00 nowhere"] {
            assert!(!is_readable(wrong, &second), "{wrong}");
        }
        assert!(is_readable("2024-03-31 00:30:00.123456789", &nanosecond));
        assert!(!is_readable("9999-12-31 23:59:59.999999999", &nanosecond));
    }

    #[test]
    fn columns_are_found_by_any_of_their_values() {
        let file = "zip;id;note;share\n1;1;\"a\n;b\";0.5\n\"02134\";2;07;1e999\n3\n";
        let columns = vec![(0, DataType::Int64), (1, DataType::Int64), (3, DataType::Float64)];
        assert_eq!(failing(file.as_bytes(), b';', None, columns, is_kept).unwrap(), [0, 3].into());
    }
}
