//! Formats of files, by the extensions of their names, and what each type becomes in each of them.

use std::path::is_separator;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, TimeUnit};

use crate::error::{Fault, FileError, Place};

/// Formats of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Values separated by commas, or by another character.
    Csv,
    /// Values separated by tabs.
    Tsv,
    /// JSON lines: an object per row.
    Json,
    /// Arrow IPC, as a file (also called Feather) or as a stream.
    Arrow,
    /// Apache Avro, which is read and not written.
    Avro,
}

impl Format {
    /// The extensions of names, for messages.
    pub const EXTENSIONS: &str = ".parquet, .csv, .tsv, .json, .jsonl, .ndjson, .arrow, .feather or .avro";

    /// Whether a file of the format is text, which may be compressed as a whole.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv | Self::Json)
    }

    /// The format that a file is written in if no other is asked for.
    #[must_use]
    pub fn output(self) -> Self {
        if self == Self::Avro { Self::Parquet } else { self }
    }

    /// The name of the format in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Json => "JSON",
            Self::Arrow => "Arrow",
            Self::Avro => "Avro",
        }
    }

    fn of_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "parquet" => Self::Parquet,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "json" | "jsonl" | "ndjson" => Self::Json,
            "arrow" | "feather" => Self::Arrow,
            "avro" => Self::Avro,
            _ => return None,
        })
    }
}

/// Compression of a text file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

/// The format of a file, and how it is compressed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileType {
    /// The format.
    pub format: Format,
    /// The compression, if any; only of formats that are text.
    pub compression: Option<Compression>,
}

impl FileType {
    /// The type that the extension of a name stands for; `None` if it stands for none. Letter case is ignored.
    ///
    /// ```
    /// use emotion_label::format::{Compression, FileType, Format};
    ///
    /// let of = FileType::of("reviews.jsonl.gz").unwrap();
    /// assert_eq!((of.format, of.compression), (Format::Json, Some(Compression::Gzip)));
    /// assert_eq!(FileType::of("reviews.parquet.gz"), None);
    /// ```
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let name = name.rsplit(['/', '\\']).next()?.to_ascii_lowercase();
        let (stem, extension) = name.rsplit_once('.')?;
        let compression = match extension {
            "gz" => Compression::Gzip,
            "zst" => Compression::Zstd,
            _ => return Some(Self { format: Format::of_extension(extension)?, compression: None }),
        };
        let format = Format::of_extension(stem.rsplit_once('.')?.1)?;
        format.is_text().then_some(Self { format, compression: Some(compression) })
    }

    /// The type of a file of this name that is read as CSV whatever its extension: TSV if that is the extension, else
    /// CSV, compressed as the extension says.
    ///
    /// ```
    /// use emotion_label::format::{Compression, FileType, Format};
    ///
    /// let of = FileType::of_separated("reviews.jsonl.gz");
    /// assert_eq!((of.format, of.compression), (Format::Csv, Some(Compression::Gzip)));
    /// assert_eq!(FileType::of_separated("reviews.tsv").format, Format::Tsv);
    /// ```
    #[must_use]
    pub fn of_separated(name: &str) -> Self {
        let known = Self::of(name);
        let format = known.map(|known| known.format).filter(|format| *format == Format::Tsv);
        Self { format: format.unwrap_or(Format::Csv), compression: known.and_then(|known| known.compression) }
    }
}

/// What the name of an output stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// A file.
    File(FileType),
    /// A folder, in which each file has the name of its input.
    Folder,
    /// Standard output.
    Standard,
}

impl Output {
    /// What a name stands for: `-` for standard output, a name with a known extension for a file, and a name
    /// without an extension, or with a slash at its end, for a folder.
    ///
    /// # Errors
    ///
    /// [`FileError::Unsupported`], if the name has another extension, or that of a format that is not written.
    pub fn of(name: &str) -> Result<Self, FileError> {
        let refused =
            |what: &str, advice: &str| Err(FileError::Unsupported(Fault::new(what, Place::file(name), advice)));
        if name == "-" {
            return Ok(Self::Standard);
        }
        if name.ends_with(is_separator) {
            return Ok(Self::Folder);
        }
        match FileType::of(name) {
            Some(FileType { format: Format::Avro, .. }) => {
                return refused("Avro is read and not written", "choose a name with the extension .parquet");
            }
            Some(file) => return Ok(Self::File(file)),
            None => {}
        }
        let last = name.rsplit(is_separator).next().unwrap_or_default();
        if !last.trim_start_matches('.').contains('.') {
            return Ok(Self::Folder);
        }
        let advice =
            "use .parquet, .csv, .tsv, .json, .jsonl, .ndjson, .arrow or .feather, or end the name of a folder with /";
        refused("the extension of the output's name is not known", advice)
    }
}

/// Why a type cannot be written.
struct Refusal {
    what: &'static str,
    advice: &'static str,
}

const TO_PARQUET: &str = "choose --format parquet";
const TO_ARROW: &str = "choose --format arrow";
const TO_JSON: &str = "choose --format json, parquet or arrow";

/// The types that the columns of an input have in an output of another format.
///
/// | type | Parquet | CSV | JSON | Arrow |
/// |---|---|---|---|---|
/// | timestamp in seconds, date in milliseconds | timestamp in milliseconds | text | text | kept |
/// | time in seconds | time in milliseconds | text | text | kept |
/// | interval of months, days and nanoseconds | refused | text | text | kept |
/// | dictionary, run-end encoded | its values | its values | its values | its values |
/// | list view | list | refused | list | kept |
/// | list, struct, map | kept | refused | kept | kept |
/// | struct without fields | refused | refused | kept | kept |
/// | map whose keys are not text | kept | refused | refused | kept |
/// | union | refused | refused | refused | kept |
/// | binary | kept | hexadecimal | hexadecimal | kept |
/// | any other | kept | text | kept | kept |
///
/// # Errors
///
/// [`FileError::Unsupported`] for the first column that cannot be written without loss.
pub fn stored(file: &str, schema: &Schema, format: Format) -> Result<Schema, FileError> {
    let stored = |field: &FieldRef| {
        field_stored(field, format).map_err(|refusal| {
            let what = format!("{} cannot hold {}", format.name(), refusal.what);
            FileError::Unsupported(Fault::new(what, Place::file(file).column(field.name()), refusal.advice))
        })
    };
    let fields = schema.fields().iter().map(stored).collect::<Result<Vec<_>, _>>()?;
    Ok(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Refuses columns that cannot be written in a format, as [`stored`] does.
///
/// # Errors
///
/// Those of [`stored`].
pub fn check(file: &str, schema: &Schema, format: Format) -> Result<(), FileError> {
    stored(file, schema, format).map(|_| ())
}

fn field_stored(field: &FieldRef, format: Format) -> Result<FieldRef, Refusal> {
    let data_type = type_stored(field.data_type(), format)?;
    Ok(Arc::new(Field::clone(field).with_data_type(data_type)))
}

fn type_stored(data_type: &DataType, format: Format) -> Result<DataType, Refusal> {
    let refused = |what, advice| Err(Refusal { what, advice });
    let within = |field: &FieldRef| field_stored(field, format);
    let is_csv = matches!(format, Format::Csv | Format::Tsv);
    let has_lists = !is_csv;
    Ok(match data_type {
        DataType::Dictionary(_, values) => type_stored(values, format)?,
        DataType::RunEndEncoded(_, values) => type_stored(values.data_type(), format)?,
        DataType::Union(..) if format == Format::Arrow => data_type.clone(),
        DataType::Union(..) => return refused("a union of types", TO_ARROW),
        _ if data_type.is_nested() && is_csv => return refused("a list, struct or map", TO_JSON),
        DataType::Struct(fields) if fields.is_empty() && format == Format::Parquet => {
            return refused("a struct without fields", "choose --format json or arrow");
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(within).collect::<Result<Fields, _>>()?),
        DataType::ListView(item) if format != Format::Arrow && has_lists => DataType::List(within(item)?),
        DataType::LargeListView(item) if format != Format::Arrow && has_lists => DataType::LargeList(within(item)?),
        DataType::List(item) => DataType::List(within(item)?),
        DataType::LargeList(item) => DataType::LargeList(within(item)?),
        DataType::ListView(item) => DataType::ListView(within(item)?),
        DataType::LargeListView(item) => DataType::LargeListView(within(item)?),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(within(item)?, *size),
        DataType::Map(entries, _) if format == Format::Json && !has_text_keys(entries) => {
            return refused("a map whose keys are not text", "choose --format parquet or arrow");
        }
        DataType::Map(entries, is_sorted) => DataType::Map(within(entries)?, *is_sorted),
        DataType::Interval(IntervalUnit::MonthDayNano) if format == Format::Parquet => {
            return refused("an interval of months, days and nanoseconds", TO_ARROW);
        }
        DataType::Timestamp(TimeUnit::Second, zone) if format == Format::Parquet => {
            DataType::Timestamp(TimeUnit::Millisecond, zone.clone())
        }
        DataType::Date64 if format == Format::Parquet => DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Time32(TimeUnit::Second) if format == Format::Parquet => DataType::Time32(TimeUnit::Millisecond),
        _ if format == Format::Avro => return refused("any column: it is read and not written", TO_PARQUET),
        other => other.clone(),
    })
}

fn has_text_keys(entries: &FieldRef) -> bool {
    let DataType::Struct(fields) = entries.data_type() else { return false };
    fields.first().is_some_and(|key| {
        let key = match key.data_type() {
            DataType::Dictionary(_, values) => values,
            other => other,
        };
        matches!(key, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
    })
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::UnionFields;

    use super::*;

    fn becomes(data_type: DataType, format: Format) -> Result<DataType, String> {
        let schema = Schema::new(vec![Field::new("c", data_type, true)]);
        match stored("a.arrow", &schema, format) {
            Ok(schema) => Ok(schema.field(0).data_type().clone()),
            Err(error) => Err(error.fault().unwrap().what.clone()),
        }
    }

    fn refused(data_type: &DataType) -> Vec<Format> {
        let formats = [Format::Parquet, Format::Csv, Format::Json, Format::Arrow];
        formats.into_iter().filter(|format| becomes(data_type.clone(), *format).is_err()).collect()
    }

    #[test]
    fn names_stand_for_formats() {
        let of = |name| FileType::of(name).map(|of| (of.format, of.compression));
        assert_eq!(of("a.PARQUET"), Some((Format::Parquet, None)));
        assert_eq!(of("dir.x/a.tsv.zst"), Some((Format::Tsv, Some(Compression::Zstd))));
        assert_eq!(of("a.feather"), Some((Format::Arrow, None)));
        assert_eq!([of("a.arrow.gz"), of("a"), of("a.gz"), of("dir.csv/a")], [None; 4]);
    }

    #[test]
    fn outputs_are_files_folders_or_refused() {
        assert_eq!(Output::of("-").unwrap(), Output::Standard);
        assert_eq!(Output::of("out").unwrap(), Output::Folder);
        assert_eq!(Output::of("out.v2/").unwrap(), Output::Folder);
        assert_eq!(Output::of("s3://bucket.x/.hidden").unwrap(), Output::Folder);
        assert!(matches!(Output::of("a.csv.gz").unwrap(), Output::File(_)));
        for name in ["a.txt", "a.avro", "a.parquet.gz", "a.xlsx"] {
            assert!(Output::of(name).is_err(), "{name}");
        }
    }

    #[test]
    fn times_in_seconds_stay_times_in_parquet() {
        let seconds = DataType::Timestamp(TimeUnit::Second, None);
        let milliseconds = DataType::Timestamp(TimeUnit::Millisecond, None);
        assert_eq!(becomes(seconds.clone(), Format::Parquet), Ok(milliseconds.clone()));
        assert_eq!(becomes(seconds.clone(), Format::Arrow), Ok(seconds.clone()));
        let list = |item| DataType::new_list(item, true);
        assert_eq!(becomes(list(seconds), Format::Parquet), Ok(list(milliseconds)));
    }

    #[test]
    fn dictionaries_become_their_values_at_any_depth() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        for format in [Format::Parquet, Format::Json, Format::Arrow] {
            let list = becomes(DataType::new_list(dictionary.clone(), true), format);
            assert_eq!(list, Ok(DataType::new_list(DataType::Utf8, true)));
        }
        assert_eq!(becomes(dictionary, Format::Csv), Ok(DataType::Utf8));
    }

    #[test]
    fn what_a_format_cannot_hold_is_refused() {
        let map = |key| {
            let fields = Fields::from(vec![Field::new("key", key, false), Field::new("value", DataType::Utf8, true)]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields), false)), false)
        };
        let union = UnionFields::try_new(vec![0], vec![Field::new("a", DataType::Utf8, true)]).unwrap();
        let union = DataType::Union(union, arrow::datatypes::UnionMode::Dense);
        assert_eq!(refused(&DataType::Utf8), []);
        assert_eq!(refused(&map(DataType::Utf8)), [Format::Csv]);
        assert_eq!(refused(&map(DataType::Int32)), [Format::Csv, Format::Json]);
        assert_eq!(refused(&DataType::Struct(Fields::empty())), [Format::Parquet, Format::Csv]);
        assert_eq!(refused(&DataType::Interval(IntervalUnit::MonthDayNano)), [Format::Parquet]);
        assert_eq!(refused(&DataType::new_list(union, true)), [Format::Parquet, Format::Csv, Format::Json]);
    }
}
