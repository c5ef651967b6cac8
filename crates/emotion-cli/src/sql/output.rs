//! How results are printed.

use std::io::{IsTerminal, Write, stdout};
use std::str::FromStr;
use std::time::Instant;

use anyhow::{Result, bail};
use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::json;
use clap::ValueEnum;
use datafusion::config::FormatOptions;

use crate::escapes::Visible;
use crate::standard_output::StandardOutput;
use crate::text_table::text_table;

/// A format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Csv,
    Tsv,
    Table,
    Json,
    NdJson,
}

/// The most rows of a table that are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxRows(pub usize);

impl MaxRows {
    pub const UNLIMITED: Self = Self(usize::MAX);
}

impl FromStr for MaxRows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "inf" | "infinite" | "none" => Ok(Self::UNLIMITED),
            number => number.parse().map(Self).map_err(|_| "it must be a number of rows, or 'inf' for all".into()),
        }
    }
}

/// What is printed of a result, and how.
#[derive(Debug, Clone)]
pub struct Output {
    pub format: OutputFormat,
    /// The limit of tables; other formats have all rows.
    pub max_rows: MaxRows,
    /// Whether row counts, times and progress are left out.
    pub is_quiet: bool,
}

impl Output {
    /// Whether row counts and times are printed. They go to the standard output, where they would spoil other formats.
    pub fn has_summary(&self) -> bool {
        !self.is_quiet && self.format == OutputFormat::Table
    }

    /// The standard output, without control characters where it is to be read, which is what tables are for.
    pub fn open(&self) -> Box<dyn Write> {
        let out = StandardOutput::open();
        let is_read = self.format == OutputFormat::Table || stdout().is_terminal();
        if is_read { Box::new(Visible::new(out)) } else { Box::new(out) }
    }

    /// An error if the format cannot hold a column.
    pub fn check(&self, schema: &Schema) -> Result<()> {
        let format = match self.format {
            OutputFormat::Csv => "CSV",
            OutputFormat::Tsv => "TSV",
            _ => return Ok(()),
        };
        let Some(field) = schema.fields().iter().find(|field| field.data_type().is_nested()) else { return Ok(()) };
        let name = field.name();
        bail!(
            "the column '{name}' is a struct or a list, which {format} cannot hold: use --format json, or select its \
             fields"
        );
    }
}

/// Writes rows in the formats in which a row does not depend on those after it, which are all but tables.
pub enum RowWriter<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Json(json::ArrayWriter<W>),
    NdJson(json::LineDelimitedWriter<W>),
}

impl<W: Write> RowWriter<W> {
    /// The writer of a format; `None` for tables.
    pub fn new(out: W, format: OutputFormat) -> Option<Self> {
        Some(match format {
            OutputFormat::Csv => Self::Csv(Box::new(csv::Writer::new(out))),
            OutputFormat::Tsv => Self::Csv(Box::new(csv::WriterBuilder::new().with_delimiter(b'\t').build(out))),
            OutputFormat::Json => Self::Json(json::ArrayWriter::new(out)),
            OutputFormat::NdJson => Self::NdJson(json::LineDelimitedWriter::new(out)),
            OutputFormat::Table => return None,
        })
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Csv(writer) => writer.write(batch)?,
            Self::Json(writer) => writer.write(batch)?,
            Self::NdJson(writer) => writer.write(batch)?,
        }
        Ok(())
    }

    pub fn finish(self) -> Result<()> {
        match self {
            Self::Csv(_) => {}
            Self::Json(mut writer) => {
                writer.finish()?;
                writeln!(writer.into_inner())?;
            }
            Self::NdJson(mut writer) => writer.finish()?,
        }
        Ok(())
    }
}

/// Writes the first rows of a result as a table, whose end shows whether there are more.
pub fn write_table(
    mut out: impl Write,
    schema: SchemaRef,
    batches: &[RecordBatch],
    max_rows: MaxRows,
    options: &FormatOptions,
) -> Result<()> {
    let (mut shown, mut rows) = (vec![RecordBatch::new_empty(schema)], 0);
    for batch in batches {
        shown.push(batch.slice(0, batch.num_rows().min(max_rows.0 - rows)));
        rows += shown[shown.len() - 1].num_rows();
    }
    let mut table = text_table(&shown, &options.try_into()?)?;
    if rows < batches.iter().map(RecordBatch::num_rows).sum() {
        let border = table.rfind('\n').map_or(0, |end| end + 1);
        let dots = format!("| .{}|\n", " ".repeat((table.len() - border).saturating_sub(4)));
        table.insert_str(border, &dots.repeat(3));
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// The number of rows and the time.
pub fn summary(rows: usize, shown: MaxRows, begin: Instant) -> String {
    let limit = match shown {
        MaxRows(most) if most < rows => format!("(First {most} displayed. Use --maxrows to adjust)"),
        _ => String::new(),
    };
    format!("{rows} row(s) fetched. {limit}\nElapsed {:.3} seconds.\n", begin.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(rows: i64) -> RecordBatch {
        let numbers = Int64Array::from_iter_values(0..rows);
        let names: StringArray = (0..rows).map(|row| (row != 1).then(|| format!("n\n{row}"))).collect();
        let columns: [(&str, ArrayRef); 2] = [("number", Arc::new(numbers)), ("name", Arc::new(names))];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
    }

    fn written(format: OutputFormat, max_rows: usize, batches: &[RecordBatch]) -> String {
        let mut out = Vec::new();
        if let Some(mut writer) = RowWriter::new(&mut out, format) {
            for batch in [&[batch(0)], batches].concat() {
                writer.write(&batch).unwrap();
            }
            writer.finish().unwrap();
        } else {
            let options = FormatOptions::default();
            write_table(&mut out, batch(0).schema(), batches, MaxRows(max_rows), &options).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_has_all_rows() {
        let batches = [batch(2), batch(1)];
        for (format, expected) in [
            (OutputFormat::Csv, "number,name\n0,\"n\n0\"\n1,\n0,\"n\n0\"\n"),
            (OutputFormat::Tsv, "number\tname\n0\t\"n\n0\"\n1\t\n0\t\"n\n0\"\n"),
            (
                OutputFormat::NdJson,
                "{\"number\":0,\"name\":\"n\\n0\"}\n{\"number\":1}\n{\"number\":0,\"name\":\"n\\n0\"}\n",
            ),
            (
                OutputFormat::Json,
                "[{\"number\":0,\"name\":\"n\\n0\"},{\"number\":1},{\"number\":0,\"name\":\"n\\n0\"}]\n",
            ),
        ] {
            assert_eq!(written(format, 1, &batches), expected, "{format:?}");
        }
    }

    #[test]
    fn a_result_without_rows_has_its_header() {
        for (format, expected) in [
            (OutputFormat::Csv, "number,name\n"),
            (OutputFormat::Tsv, "number\tname\n"),
            (OutputFormat::NdJson, ""),
            (OutputFormat::Json, "[]\n"),
            (OutputFormat::Table, "+--------+------+\n| number | name |\n+--------+------+\n+--------+------+\n"),
        ] {
            assert_eq!(written(format, 40, &[]), expected, "{format:?}");
        }
    }

    #[test]
    fn a_table_ends_after_its_limit() {
        let header = "+--------+------+\n| number | name |\n+--------+------+\n";
        let first = "| 0      | n    |\n|        | 0    |\n";
        let dots = "| .             |\n".repeat(3);
        let end = "+--------+------+\n";
        let batches = [batch(1), batch(2)];
        assert_eq!(written(OutputFormat::Table, 1, &batches), [header, first, &dots, end].concat());
        assert_eq!(written(OutputFormat::Table, 0, &batches), [header, &dots, end].concat());
        assert!(!written(OutputFormat::Table, 3, &batches).contains("| . "));
    }

    #[test]
    fn limits_are_numbers_or_infinite() {
        assert_eq!("7".parse(), Ok(MaxRows(7)));
        assert_eq!("INF".parse(), Ok(MaxRows::UNLIMITED));
        assert!("-1".parse::<MaxRows>().is_err());
    }
}
