//! Rows of a file as Arrow types, for what is not copied: another format, another codec, other row groups, Avro, and
//! plans for a cluster.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::read_footer_length;
use arrow::ipc::root_as_footer;
use datafusion::common::Column;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::avro::AvroFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::Int96Coercer;
#[cfg(feature = "cluster")]
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
#[cfg(feature = "cluster")]
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
#[cfg(feature = "cluster")]
use datafusion::datasource::source::DataSourceExec;
#[cfg(feature = "cluster")]
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::{Expr, lit};
#[cfg(feature = "cluster")]
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ParquetRecordBatchStreamBuilder};
use parquet::basic::Compression as Codec;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::chunks::file_compression;
use crate::csv_schema::{CsvShape, Dialect};
use crate::format::Format;
use crate::job::choices::Choices;
use crate::job::error::{LabelError, Result};
use crate::job::inputs::Input;
use crate::job::parquet_object::ParquetObject;
use crate::job::target::is_separated;
use crate::json_schema::{Conflict, JsonShape};
use crate::json_text;
use crate::object::Object;

/// Columns, with the fields of structs, that are converted at most: each takes some hundred kilobytes.
const MOST_COLUMNS: usize = 4096;

/// Memory that the rows read together should not exceed by much.
const BATCH_BYTES: u64 = 32 << 20;

pub struct Typed {
    /// All columns.
    pub schema: SchemaRef,
    /// What a Parquet file's footer says of its content.
    pub metadata: Vec<(String, String)>,
    #[cfg(feature = "cluster")]
    file: PartitionedFile,
    #[cfg(feature = "cluster")]
    store: ObjectStoreUrl,
    reader: Reader,
}

enum Reader {
    Parquet(ParquetObject, ArrowReaderMetadata),
    Table(DataFrame),
}

impl Typed {
    /// `output` is the format of the file that is made of it.
    pub async fn open(context: &SessionContext, input: &Input, choices: &Choices, output: Format) -> Result<Self> {
        if input.file.format == Format::Parquet {
            return Self::parquet(input).await;
        }
        if choices.encoding.is_some() {
            return Err(LabelError::Refused(format!(
                "'{}' has an --encoding, which only a copy keeps: choose a CSV output, or convert it to UTF-8 first",
                input.shown
            )));
        }
        let is_mended = input.file.format == Format::Json && input.file.compression.is_none() && !choices.on_cluster;
        let (format, schema) = format(context, input, choices, is_mended, output).await?;
        let url = if is_mended { json_text::address(&context.runtime_env(), &input.url)? } else { input.url.clone() };
        let options = ListingOptions::new(format).with_file_extension("");
        let mut schema = match schema {
            Some(schema) => schema,
            None => options.infer_schema(&context.state(), &url).await?,
        };
        check_width(&schema, &input.shown)?;
        if is_separated(input.file.format) && is_separated(output) {
            // What was written 007 is not to become 7.
            schema = Arc::new(all_text(&schema));
        }
        let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
        let mut frame = context.read_table(Arc::new(ListingTable::try_new(config)?))?;
        if is_separated(input.file.format) && choices.escape == Some(b'\\') {
            frame = without_mysql_nulls(frame)?;
        }
        Ok(Self {
            schema: Arc::clone(frame.schema().inner()),
            metadata: Vec::new(),
            #[cfg(feature = "cluster")]
            file: PartitionedFile::from(input.meta.clone()),
            #[cfg(feature = "cluster")]
            store: input.url.object_store(),
            reader: Reader::Table(frame),
        })
    }

    async fn parquet(input: &Input) -> Result<Self> {
        let mut reader = ParquetObject::new(input);
        let options = ArrowReaderOptions::default();
        let mut footer = ArrowReaderMetadata::load_async(&mut reader, options.clone()).await?;
        let columns = footer.metadata().file_metadata().schema_descr();
        // Nanoseconds of 64 bits hold the years 1677 to 2262 alone, and INT96 values beyond them would wrap.
        if let Some(schema) = Int96Coercer::new(columns, footer.schema(), &TimeUnit::Microsecond).coerce() {
            let options = options.with_schema(Arc::new(schema));
            footer = ArrowReaderMetadata::try_new(Arc::clone(footer.metadata()), options)?;
        }
        check_width(footer.schema(), &input.shown)?;
        let file = footer.metadata().file_metadata();
        let metadata = file.key_value_metadata().into_iter().flatten();
        let metadata = metadata
            .filter(|entry| entry.key != ARROW_SCHEMA_META_KEY)
            .map(|entry| (entry.key.clone(), entry.value.clone().unwrap_or_default()));
        Ok(Self {
            schema: Arc::clone(footer.schema()),
            metadata: metadata.collect(),
            #[cfg(feature = "cluster")]
            file: PartitionedFile::from(input.meta.clone()),
            #[cfg(feature = "cluster")]
            store: input.url.object_store(),
            reader: Reader::Parquet(reader, footer),
        })
    }

    /// How a Parquet file is compressed.
    pub fn codec(&self) -> Option<Codec> {
        let Reader::Parquet(_, metadata) = &self.reader else { return None };
        Some(metadata.metadata().row_groups().first()?.columns().first()?.compression())
    }

    /// The number of rows.
    pub async fn count(&self) -> Result<u64> {
        match &self.reader {
            Reader::Parquet(_, metadata) => {
                Ok(u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or_default())
            }
            Reader::Table(frame) => Ok(frame.clone().count().await? as u64),
        }
    }

    /// The rows of a row group, in batches of at most `batch_rows`.
    pub async fn read(&self, row_group: usize, batch_rows: usize) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        match &self.reader {
            Reader::Parquet(reader, metadata) => {
                let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader.clone(), metadata.clone());
                let batch_rows = batch_rows.min(fitting(metadata, row_group));
                let stream = builder.with_row_groups(vec![row_group]).with_batch_size(batch_rows).build()?;
                Ok(stream.map_err(Into::into).boxed())
            }
            Reader::Table(frame) => {
                Ok(skipped(frame.clone().execute_stream().await?.map_err(Into::into).boxed(), 0, batch_rows))
            }
        }
    }

    /// The texts of a file that is not Parquet from its `skip`th row.
    pub async fn texts(
        &self,
        text: usize,
        skip: u64,
        batch_rows: usize,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let Reader::Table(frame) = &self.reader else {
            return Err(LabelError::Refused("the texts of a Parquet file have a reader of their own".into()));
        };
        let texts = self.text_alone(frame, text)?.execute_stream().await?;
        Ok(skipped(texts.map_err(Into::into).boxed(), skip, batch_rows))
    }

    /// A plan of the texts of a row group, for another machine to run.
    #[cfg(feature = "cluster")]
    pub async fn plan(&self, row_group: usize, text: usize) -> Result<Arc<dyn ExecutionPlan>> {
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
                    .with_projection_indices(Some(vec![text]))?;
                Ok(DataSourceExec::from_data_source(scan.build()))
            }
            Reader::Table(frame) => Ok(self.text_alone(frame, text)?.create_physical_plan().await?),
        }
    }

    fn text_alone(&self, frame: &DataFrame, text: usize) -> Result<DataFrame> {
        let text = Column::new_unqualified(self.schema.field(text).name());
        Ok(frame.clone().select(vec![Expr::Column(text)])?)
    }

    /// The column that holds the texts.
    pub fn text_column(&self, name: &str, file: &str) -> Result<usize> {
        let names = || self.schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        let Some((index, field)) = self.schema.column_with_name(name) else {
            let what = format!("'{file}' has no column '{name}': name one of {} with --text", names());
            return Err(LabelError::Refused(what));
        };
        if is_text(field.data_type()) {
            return Ok(index);
        }
        Err(LabelError::Refused(format!(
            "the column '{name}' of '{file}' holds {}, not texts: name another of {} with --text",
            field.data_type(),
            names()
        )))
    }
}

/// How `DataFusion` reads a file, and the types of its columns where they depend on all of its rows.
async fn format(
    context: &SessionContext,
    input: &Input,
    choices: &Choices,
    is_mended: bool,
    output: Format,
) -> Result<(Arc<dyn FileFormat>, Option<SchemaRef>)> {
    let format = input.file.format;
    let object = Object::new(&input.store, &input.meta);
    Ok(match format {
        Format::Csv | Format::Tsv => {
            let (delimiter, escape) = (choices.delimiter_of(format), choices.escape);
            let dialect = Dialect { delimiter, escape, compression: input.file.compression };
            let shape = CsvShape::infer(&object, dialect).await?.with_values_kept(&object).await?;
            if let Some(line) = shape.odd_escape {
                return Err(dropped_escape(line, input, choices));
            }
            (Arc::new(shape.format()), Some(shape.schema))
        }
        Format::Json => {
            let compression = input.file.compression;
            let shape = JsonShape::infer(&object, compression, is_mended).await?;
            if let Some(conflict) = shape.conflicts().first().filter(|_| output != Format::Json) {
                return Err(conflicting(conflict, &input.shown));
            }
            let options = context.state().table_options().json.clone();
            let format = JsonFormat::default().with_options(options);
            (Arc::new(format.with_file_compression_type(file_compression(compression))), Some(shape.schema()))
        }
        Format::Avro => (Arc::new(AvroFormat), None),
        _ => (Arc::new(ArrowFormat), arrow_schema(input).await?),
    })
}

fn dropped_escape(line: usize, input: &Input, choices: &Choices) -> LabelError {
    let what = if choices.on_cluster {
        "an executor would drop: label the file without --cluster"
    } else {
        "a conversion would drop: choose a CSV output, which is a copy"
    };
    LabelError::Refused(format!(
        "line {line} of '{}' has the escape character before another character than a quote, which {what}, or double \
         the escape character",
        input.shown
    ))
}

/// The columns, where `\N` in a text is NULL.
fn without_mysql_nulls(frame: DataFrame) -> datafusion::error::Result<DataFrame> {
    let columns = frame.schema().fields().iter().map(|field| {
        let column = Expr::Column(Column::new_unqualified(field.name()));
        match field.data_type() {
            DataType::Utf8 => nullif(column, lit("\\N")).alias(field.name()),
            _ => column,
        }
    });
    let columns = columns.collect::<Vec<_>>();
    frame.select(columns)
}

fn conflicting(conflict: &Conflict, file: &str) -> LabelError {
    let Conflict { field, values } = conflict;
    LabelError::Refused(format!(
        "the field '{field}' of '{file}' holds {values}, and a column has one type: choose an output of JSON lines, \
         which is a copy, or make the values of one type first"
    ))
}

/// The schema in the footer of an Arrow file; `None` of a stream, which has no footer.
///
/// Over an object store, `DataFusion` looks for the schema where writers that pad more than eight bytes have none.
async fn arrow_schema(input: &Input) -> Result<Option<SchemaRef>> {
    const END: usize = 10;
    let (store, location, size) = (&input.store, &input.meta.location, input.meta.size);
    let Some(end) = size.checked_sub(END as u64) else { return Ok(None) };
    let tail = store.get_range(location, end..size).await?;
    let tail = <[u8; END]>::try_from(&tail[..]);
    let Some(length) = tail.ok().and_then(|tail| read_footer_length(tail).ok()) else { return Ok(None) };
    let start = end.checked_sub(length as u64).ok_or_else(|| LabelError::Damaged("the footer is damaged".into()))?;
    let footer = store.get_range(location, start..end).await?;
    let footer = root_as_footer(&footer).map_err(|error| LabelError::Damaged(error.to_string()))?;
    Ok(footer.schema().map(fb_to_schema).map(Arc::new))
}

/// So many rows that they fit into memory, as far as can be told.
fn fitting(metadata: &ArrowReaderMetadata, row_group: usize) -> usize {
    let group = metadata.metadata().row_group(row_group);
    let bytes: i64 = group.columns().iter().map(ColumnChunkMetaData::uncompressed_size).sum();
    let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
    let a_row = u64::try_from(bytes).unwrap_or(0) / rows;
    usize::try_from(BATCH_BYTES / a_row.max(1)).unwrap_or(usize::MAX).max(16)
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

/// Refuses a file that would take gigabytes of memory to convert.
fn check_width(schema: &Schema, file: &str) -> Result<()> {
    let columns = schema.flattened_fields().len();
    if columns <= MOST_COLUMNS {
        return Ok(());
    }
    Err(LabelError::Refused(format!(
        "'{file}' has {columns} columns and fields, and {MOST_COLUMNS} can be converted: choose an output of its format, \
         which is a copy, or leave columns out first"
    )))
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => values.is_string(),
        other => other.is_string() || *other == DataType::Null,
    }
}

fn all_text(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true));
    Schema::new(fields.collect::<Vec<_>>())
}
