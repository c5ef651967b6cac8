//! Rows of the files to label.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Column;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::avro::AvroFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, PartitionedFile};
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ParquetRecordBatchStreamBuilder, ProjectionMask};

use super::format::{InputFormat, OutputFormat};
use super::inputs::Input;
use super::parquet_object::ParquetObject;
use crate::table::is_text;

/// Memory that the rows read together should not exceed by much.
const BATCH_BYTES: u64 = 32 << 20;

/// A file that is open for reading.
pub struct Source {
    /// All columns.
    pub schema: SchemaRef,
    /// Rows of each row group; a file that is not Parquet is one.
    pub row_groups: Vec<u64>,
    /// What a Parquet file's footer says of its content.
    pub metadata: Vec<(String, String)>,
    text: usize,
    file: PartitionedFile,
    store: ObjectStoreUrl,
    reader: Reader,
}

enum Reader {
    Parquet(ParquetObject, ArrowReaderMetadata),
    Table(DataFrame),
}

/// Which columns to read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Text,
    All,
}

impl Source {
    pub async fn open(
        context: &SessionContext,
        input: &Input,
        text: &str,
        delimiter: u8,
        output: OutputFormat,
    ) -> Result<Self> {
        let mut source = if input.format == InputFormat::Parquet {
            Self::parquet(input).await?
        } else {
            Self::table(context, input, delimiter, output).await?
        };
        source.text = text_column(&source.schema, text, &input.shown)?;
        output.check(&source.schema, &input.shown)?;
        Ok(source)
    }

    async fn parquet(input: &Input) -> Result<Self> {
        let mut reader = ParquetObject::new(input);
        let footer = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::default()).await?;
        let file = footer.metadata().file_metadata();
        let metadata = file.key_value_metadata().into_iter().flatten();
        let metadata = metadata
            .filter(|entry| entry.key != ARROW_SCHEMA_META_KEY)
            .map(|entry| (entry.key.clone(), entry.value.clone().unwrap_or_default()));
        let rows = |group: &parquet::file::metadata::RowGroupMetaData| u64::try_from(group.num_rows());
        Ok(Self {
            schema: Arc::clone(footer.schema()),
            row_groups: footer.metadata().row_groups().iter().map(rows).collect::<Result<_, _>>()?,
            metadata: metadata.collect(),
            text: 0,
            file: PartitionedFile::from(input.meta.clone()),
            store: input.url.object_store(),
            reader: Reader::Parquet(reader, footer),
        })
    }

    /// The types of CSV and JSON are found by reading all of it: hours later is no time to find that a row does not
    /// fit.
    async fn table(context: &SessionContext, input: &Input, delimiter: u8, output: OutputFormat) -> Result<Self> {
        let state = context.state();
        let format: Arc<dyn FileFormat> = match input.format {
            InputFormat::Csv => {
                let format = CsvFormat::default().with_has_header(true).with_delimiter(delimiter);
                Arc::new(format.with_newlines_in_values(true).with_schema_infer_max_rec(usize::MAX))
            }
            InputFormat::Json => Arc::new(JsonFormat::default().with_schema_infer_max_rec(usize::MAX)),
            InputFormat::Avro => Arc::new(AvroFormat),
            InputFormat::Parquet | InputFormat::Arrow => Arc::new(ArrowFormat),
        };
        let options = ListingOptions::new(format).with_file_extension("");
        let mut schema = options.infer_schema(&state, &input.url).await?;
        if input.format == InputFormat::Csv && output == OutputFormat::Csv {
            // What was written 007 is not to become 7.
            schema = Arc::new(all_text(&schema));
        }
        let config = ListingTableConfig::new(input.url.clone()).with_listing_options(options).with_schema(schema);
        let frame = context.read_table(Arc::new(ListingTable::try_new(config)?))?;
        let rows = frame.clone().count().await?;
        Ok(Self {
            schema: Arc::clone(frame.schema().inner()),
            row_groups: vec![rows as u64],
            metadata: Vec::new(),
            text: 0,
            file: PartitionedFile::from(input.meta.clone()),
            store: input.url.object_store(),
            reader: Reader::Table(frame),
        })
    }

    pub fn rows(&self) -> u64 {
        self.row_groups.iter().sum()
    }

    /// Whether it costs hardly anything to open it again, and much memory to keep it open.
    pub fn is_cheap_to_open(&self) -> bool {
        matches!(self.reader, Reader::Parquet(..))
    }

    /// The rows of a row group from its `skip`th, in batches of at most `batch_rows`.
    pub async fn read(
        &self,
        row_group: usize,
        skip: u64,
        batch_rows: usize,
        want: Want,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        match &self.reader {
            Reader::Parquet(reader, metadata) => {
                let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader.clone(), metadata.clone());
                if want == Want::Text {
                    let mask = ProjectionMask::roots(builder.parquet_schema(), [self.text]);
                    builder = builder.with_projection(mask);
                }
                let batch_rows = self.fitting(batch_rows, metadata, row_group, want);
                let builder = builder.with_row_groups(vec![row_group]).with_batch_size(batch_rows);
                let stream = builder.with_offset(usize::try_from(skip)?).build()?;
                Ok(stream.map_err(Into::into).boxed())
            }
            Reader::Table(frame) => {
                let frame = if want == Want::Text { self.text_alone(frame)? } else { frame.clone() };
                Ok(skipped(frame.execute_stream().await?.map_err(Into::into).boxed(), skip, batch_rows))
            }
        }
    }

    /// A plan of the texts of a row group, for another machine to run.
    pub async fn texts(&self, row_group: usize) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.reader {
            Reader::Parquet(_, metadata) => {
                let group = metadata.metadata().row_group(row_group);
                // By the place of its first page a row group is known to belong to a part of a file.
                let first = group.column(0);
                let at = first.dictionary_page_offset().unwrap_or(first.data_page_offset());
                let file = self.file.clone().with_range(at, at + 1);
                let columns = ParquetSource::new(Arc::clone(&self.schema));
                let scan = FileScanConfigBuilder::new(self.store.clone(), Arc::new(columns))
                    .with_file(file)
                    .with_projection_indices(Some(vec![self.text]))?;
                Ok(DataSourceExec::from_data_source(scan.build()))
            }
            Reader::Table(frame) => Ok(self.text_alone(frame)?.create_physical_plan().await?),
        }
    }

    fn text_alone(&self, frame: &DataFrame) -> Result<DataFrame> {
        let text = Column::new_unqualified(self.schema.field(self.text).name());
        Ok(frame.clone().select(vec![Expr::Column(text)])?)
    }

    /// So many rows that they fit into memory, as far as can be told.
    fn fitting(&self, batch_rows: usize, metadata: &ArrowReaderMetadata, row_group: usize, want: Want) -> usize {
        let group = metadata.metadata().row_group(row_group);
        let columns =
            group.columns().iter().enumerate().filter(|(leaf, _)| {
                want == Want::All || metadata.parquet_schema().get_column_root_idx(*leaf) == self.text
            });
        let bytes: i64 = columns.map(|(_, column)| column.uncompressed_size()).sum();
        let a_row = u64::try_from(bytes).unwrap_or(0) / self.row_groups[row_group].max(1);
        let rows = usize::try_from(BATCH_BYTES / a_row.max(1)).unwrap_or(usize::MAX);
        batch_rows.min(rows.max(16))
    }
}

/// The rest of a stream after so many rows, in batches that are not too large.
fn skipped(
    stream: BoxStream<'static, Result<RecordBatch>>,
    skip: u64,
    batch_rows: usize,
) -> BoxStream<'static, Result<RecordBatch>> {
    let mut left = skip;
    let pieces = move |batch: RecordBatch| {
        let start = usize::try_from(left).map_or(batch.num_rows(), |left| left.min(batch.num_rows()));
        left -= start as u64;
        let pieces = (start..batch.num_rows()).step_by(batch_rows);
        let pieces = pieces.map(|at| Ok(batch.slice(at, batch_rows.min(batch.num_rows() - at))));
        futures::stream::iter(pieces.collect::<Vec<_>>())
    };
    stream.map_ok(pieces).try_flatten().boxed()
}

fn text_column(schema: &Schema, name: &str, file: &str) -> Result<usize> {
    if schema.fields().is_empty() {
        bail!("'{file}' is empty: it has not even a line of names");
    }
    let names = || schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
    let (index, field) = schema
        .column_with_name(name)
        .with_context(|| format!("'{file}' has no column '{name}': name one of {} with --text", names()))?;
    if !is_text(field.data_type()) {
        bail!(
            "the column '{name}' of '{file}' holds {}, not texts: name another of {} with --text",
            field.data_type(),
            names()
        );
    }
    Ok(index)
}

fn all_text(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true));
    Schema::new(fields.collect::<Vec<_>>())
}
