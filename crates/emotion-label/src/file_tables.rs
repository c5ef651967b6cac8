//! Names of files as tables in SQL.
//!
//! A file is found by its very name, also with `[`, `?` or `*` in it, and links keep their names. The types of CSV
//! columns, and of the fields of JSON lines, are those of all rows.

use std::collections::{HashMap, HashSet};
use std::iter::once;
use std::path::Path;
use std::sync::Arc;

use crate::address::{absolute, local, path_of};
use crate::csv_schema::{CsvShape, Dialect};
use crate::format::{Compression, FileType, Format};
use crate::json_schema::JsonShape;
use crate::json_text;
use crate::lfs;
use crate::listed_files::{ListedFiles, listed};
use crate::local_files::{LocalFiles, path_at};
use crate::object::Object;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{DynamicFileCatalog, TableProvider, UrlTableFactory};
use datafusion::common::{plan_datafusion_err, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::datasource::dynamic_file::DynamicListTableFactory;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::SessionContext;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStoreExt};

/// Sets the options of a session that file tables need and that are not set.
pub fn set_defaults(config: &mut ConfigOptions) {
    // Nanoseconds of 64 bits hold the years 1677 to 2262 alone, and INT96 values beyond them would wrap.
    config.execution.parquet.coerce_int96.get_or_insert_with(|| "us".into());
}

/// The session with names of files as tables. Files in object stores are tables if the session knows their stores.
#[must_use]
pub fn with_files(context: SessionContext, readers: Readers) -> SessionContext {
    let local = ObjectStoreUrl::local_filesystem();
    context.register_object_store(local.as_ref(), Arc::new(LocalFiles::new()));
    let tables = Arc::new(FileTables::new(readers));
    let names = Arc::clone(context.state().catalog_list());
    let catalogs = DynamicFileCatalog::new(names, Arc::clone(&tables) as Arc<dyn UrlTableFactory>);
    let session_id = context.session_id();
    let builder = context.into_state_builder().with_session_id(session_id).with_catalog_list(Arc::new(catalogs));
    let context = SessionContext::from(builder.build());
    tables.others.session_store().with_state(context.state_weak_ref());
    context
}

/// What to do about a table that does not exist although its name is that of a file; `None` for other errors.
#[must_use]
pub fn advice(error: &DataFusionError) -> Option<String> {
    let message = error.to_string();
    let path = missing_table(&message).filter(|table| table.contains(['/', '.'])).map(Path::new)?;
    let (name, extensions) = (path.display(), Format::EXTENSIONS);
    Some(if path.is_dir() {
        format!(
            "'{name}' is a folder in which no file is of a known type: its files must have the extension {extensions}"
        )
    } else if path.exists() {
        format!("'{name}' is not a table: the name of a file must have the extension {extensions}")
    } else {
        format!("there is no file '{name}': check the path, which starts from the current folder")
    })
}

/// The name of the table that an error of DataFusion says is not there.
fn missing_table(message: &str) -> Option<&str> {
    if let Some((_, rest)) = message.split_once("No table named '") {
        return rest.strip_suffix('\'');
    }
    let (_, rest) = message.split_once("table '")?;
    let (table, rest) = rest.split_once('\'')?;
    let table = table.strip_prefix("datafusion.public.").unwrap_or(table);
    rest.starts_with(" not found").then_some(table)
}

/// Makes tables of names of files.
#[derive(Debug)]
struct FileTables {
    others: DynamicListTableFactory,
    readers: Readers,
}

/// Which machines read the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// This one.
    Here,
    /// The executors of a cluster, which know the addresses of stores alone.
    Cluster,
}

impl FileTables {
    fn new(readers: Readers) -> Self {
        Self { others: DynamicListTableFactory::default(), readers }
    }

    fn state(&self) -> Result<SessionState> {
        let session = self.others.session_store().get_session().upgrade();
        let state = session.and_then(|session| session.read().as_any().downcast_ref::<SessionState>().cloned());
        state.ok_or_else(|| plan_datafusion_err!("the session is gone"))
    }
}

#[async_trait]
impl UrlTableFactory for FileTables {
    async fn try_new(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let state = self.state()?;
        if let Some((url, file)) = single_file(name) {
            return Ok(Some(table(&state, &url, file, None, self.readers).await?));
        }
        if let Some(files) = listed(name, false).await? {
            return Ok(Some(table_of(&state, files, None, self.readers).await?));
        }
        self.others.try_new(name).await
    }
}

/// The table of several files; `delimiter` is that of their fields, if it is not the one of their extension.
pub(crate) async fn table_of(
    state: &SessionState,
    files: ListedFiles,
    delimiter: Option<u8>,
    readers: Readers,
) -> Result<Arc<dyn TableProvider>> {
    let ListedFiles { urls, extension, metas, file } = files;
    let is_mended = is_mended(file, readers);
    let (format, schema) = described(state, &urls[0], &metas, file, delimiter, is_mended).await?;
    let urls = if is_mended {
        urls.iter().map(|url| json_text::address(state.runtime_env(), url)).collect::<Result<_>>()?
    } else {
        urls
    };
    let options = ListingOptions::new(format).with_file_extension(extension);
    let schema = match schema {
        Some(schema) => schema,
        None => inferred(state, &options, &urls).await?,
    };
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
    let config = config.infer_partitions_from_path(state).await?.with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

async fn inferred(state: &SessionState, options: &ListingOptions, urls: &[ListingTableUrl]) -> Result<SchemaRef> {
    let mut schemas = Vec::new();
    for url in urls {
        let schema = options.infer_schema(state, url).await;
        schemas.push(schema.map_err(|error| in_file(&error, &shown(url, url.prefix())))?.as_ref().clone());
    }
    Ok(Arc::new(Schema::try_merge(schemas)?))
}

fn delimiter(file: FileType) -> u8 {
    if file.format == Format::Tsv { b'\t' } else { b',' }
}

/// The address and the type of a file; `None` of a folder, a pattern, or a file of a type that is not known.
fn single_file(name: &str) -> Option<(ListingTableUrl, FileType)> {
    let file = FileType::of(name)?;
    if name.contains("://") && !name.starts_with("file://") {
        let url = ListingTableUrl::parse(name).ok()?;
        return (!url.is_collection() && !name.contains('*')).then_some((url, file));
    }
    let path = absolute(Path::new(path_of(name))).ok().filter(|path| path.is_file())?;
    Some((local(&path).ok()?, file))
}

/// The address of a file on this machine or elsewhere.
///
/// # Errors
///
/// The name is not UTF-8, or is no address.
pub fn address_of(name: &str) -> Result<ListingTableUrl> {
    let path = Path::new(name);
    if name.contains("://") || !path.exists() {
        return ListingTableUrl::parse(name);
    }
    local(&absolute(path)?)
}

/// The table of a file; `delimiter` is that of its fields, if it is not the one of its extension.
///
/// # Errors
///
/// The file cannot be read, or is no table.
pub async fn table(
    state: &SessionState,
    url: &ListingTableUrl,
    file: FileType,
    delimiter: Option<u8>,
    readers: Readers,
) -> Result<Arc<dyn TableProvider>> {
    refuse_others(state, url, file).await?;
    let store = state.runtime_env().object_store(url)?;
    let meta = store.head(url.prefix()).await?;
    let is_mended = is_mended(file, readers);
    let (format, schema) = described(state, url, &[meta], file, delimiter, is_mended).await?;
    let url = if is_mended { json_text::address(state.runtime_env(), url)? } else { url.clone() };
    let options = ListingOptions::new(format).with_file_extension("");
    let schema = match schema {
        Some(schema) => schema,
        None => options.infer_schema(state, &url).await.map_err(|error| in_file(&error, &shown(&url, url.prefix())))?,
    };
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// Whether JSON lines are read as a [`JsonText`](json_text::JsonText) has them.
fn is_mended(file: FileType, readers: Readers) -> bool {
    file.format == Format::Json && file.compression.is_none() && readers == Readers::Here
}

/// Files that are read side by side.
const FILES_AT_ONCE: usize = 4;

/// How `DataFusion` reads files of this type, and the types of their columns where they depend on all of their rows.
async fn described(
    state: &SessionState,
    url: &ListingTableUrl,
    metas: &[ObjectMeta],
    file: FileType,
    delimiter: Option<u8>,
    is_mended: bool,
) -> Result<(Arc<dyn FileFormat>, Option<SchemaRef>)> {
    let store = state.runtime_env().object_store(url)?;
    let files = metas.iter().map(|meta| (shown(url, &meta.location), Object::new(&store, meta))).collect();
    match file.format {
        Format::Csv | Format::Tsv => {
            let delimiter = delimiter.unwrap_or_else(|| self::delimiter(file));
            let shape = csv_shape(files, Dialect { delimiter, escape: None, compression: file.compression }).await?;
            Ok((Arc::new(shape.format()), Some(with_distinct_names(&shape.schema))))
        }
        Format::Json => {
            let schema = json_shape(files, file, is_mended).await?.schema();
            Ok((format(state, file)?, Some(schema)))
        }
        _ => match metas.iter().find(|meta| meta.size == 0) {
            Some(empty) => {
                let what = format!("the file '{}' is empty", shown(url, &empty.location));
                Err(DataFusionError::External(what.into()))
            }
            None => Ok((format(state, file)?, None)),
        },
    }
}

/// What the rows of all files are like. Files without a header, as Spark writes them for partitions without rows, do not
/// count unless all are such.
async fn csv_shape(files: Vec<(String, Object)>, dialect: Dialect) -> Result<CsvShape> {
    let shapes = files.into_iter().map(move |(name, object)| csv_shape_of(name, object, dialect).boxed());
    let mut shapes = stream::iter(shapes).buffered(FILES_AT_ONCE);
    let mut all: Option<CsvShape> = None;
    while let Some((name, shape)) = shapes.try_next().await? {
        all = Some(match all {
            Some(all) if shape.schema.fields().is_empty() => all,
            Some(all) if !all.schema.fields().is_empty() => {
                all.merge(&shape).map_err(|error| in_file(&error, &name))?
            }
            _ => shape,
        });
    }
    let Some(shape) = all else { return plan_err!("there is no file") };
    Ok(shape)
}

async fn csv_shape_of(name: String, object: Object, dialect: Dialect) -> Result<(String, CsvShape)> {
    let shape = CsvShape::infer(&object, dialect).await.map_err(|error| in_file(&error, &name))?;
    let shape = shape.with_values_readable(&object).await.map_err(|error| in_file(&error, &name))?;
    Ok((name, shape))
}

async fn json_shape(files: Vec<(String, Object)>, file: FileType, is_mended: bool) -> Result<JsonShape> {
    let shapes = files.into_iter().map(move |(name, object)| json_shape_of(name, object, file, is_mended).boxed());
    let mut shapes = stream::iter(shapes).buffered(FILES_AT_ONCE);
    let mut all = JsonShape::default();
    while let Some(shape) = shapes.try_next().await? {
        all = all.merge(shape);
    }
    Ok(all)
}

async fn json_shape_of(name: String, object: Object, file: FileType, is_mended: bool) -> Result<JsonShape> {
    JsonShape::infer(&object, file.compression, is_mended).await.map_err(|error| in_file(&error, &name))
}

/// What messages call a file in the store of this address.
fn shown(url: &ListingTableUrl, file: &ObjectPath) -> String {
    if url.scheme().ends_with("file") { path_at(file.as_ref()).display().to_string() } else { file.to_string() }
}

/// The error with the path of the file, and what to do if the file is not UTF-8.
fn in_file(error: &DataFusionError, path: &str) -> DataFusionError {
    let error = error.to_string();
    // What DataFusion adds to errors of readers that it does not expect.
    let error = error.split("\nThis issue was likely caused by a bug").next().unwrap_or_default();
    let error = error.trim_start_matches("Internal error: ").trim_end_matches('.');
    let advice = if error.contains("invalid UTF-8") {
        "; convert it to UTF-8 first, for example by iconv -f WINDOWS-1252 -t UTF-8, or by iconv -f UTF-16 -t UTF-8"
    } else {
        ""
    };
    DataFusionError::External(format!("cannot read '{path}': {error}{advice}").into())
}

/// Refuses what the start of a file shows to be no table, in words that say what to do.
async fn refuse_others(state: &SessionState, url: &ListingTableUrl, file: FileType) -> Result<()> {
    let store = state.runtime_env().object_store(url)?;
    let size = store.head(url.prefix()).await?.size;
    if size == 0 || file.format != Format::Json && size > lfs::LONGEST {
        return Ok(());
    }
    let start = store.get_range(url.prefix(), 0..size.min(lfs::LONGEST)).await?;
    let what = if lfs::is_pointer(&start) {
        format!("{}: {}", lfs::WHAT, lfs::ADVICE)
    } else if file.format == Format::Json && json_text::is_array(&start) {
        "an array of objects: write an object per line: jq -c '.[]' FILE > FILE.jsonl".into()
    } else {
        return Ok(());
    };
    let name = url.prefix().filename().unwrap_or_default();
    Err(DataFusionError::External(format!("'{name}' is {what}").into()))
}

/// The schema with `note_1` for the second column called `note`, and so on: columns of CSV may have equal names, those
/// of a table may not.
fn with_distinct_names(schema: &Schema) -> SchemaRef {
    let mut taken: HashSet<String> = HashSet::new();
    let fields = schema.fields().iter().map(|field| {
        let numbered = (1..).map(|number| format!("{}_{number}", field.name()));
        let is_free = |name: &String| !taken.contains(name) && (name == field.name() || schema.index_of(name).is_err());
        let name = once(field.name().clone()).chain(numbered).find(is_free).unwrap_or_default();
        taken.insert(name.clone());
        field.as_ref().clone().with_name(name)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn format(state: &SessionState, file: FileType) -> Result<Arc<dyn FileFormat>> {
    let name = file.format.name().to_lowercase();
    let mut options = HashMap::new();
    let compression = file.compression.map(|compression| match compression {
        Compression::Gzip => "gzip",
        _ => "zstd",
    });
    options.extend(compression.map(|compression| ("format.compression".to_string(), compression.to_string())));
    let Some(factory) = state.get_file_format_factory(&name) else { return plan_err!("{name} cannot be read") };
    factory.create(state, &options)
}
