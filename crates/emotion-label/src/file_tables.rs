//! Names of files as tables in SQL.
//!
//! A file is found by its very name, also with `[`, `?` or `*` in it, and links keep their names. The types of CSV
//! columns are those of all rows. Patterns, and folders of other formats, are left to `DataFusion`.

use std::collections::{HashMap, HashSet};
use std::iter::once;
use std::path::Path;
use std::sync::Arc;

use crate::address::{absolute, local, path_of};
use crate::csv_schema::{CsvShape, Dialect};
use crate::format::{Compression, FileType, Format};
use crate::json_text;
use crate::lfs;
use crate::local_files::LocalFiles;
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
use futures::TryStreamExt;
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
        if let Some((url, files, file)) = folder_of_csv(&state, name).await? {
            return Ok(Some(folder(&state, &url, &files, file).await?));
        }
        self.others.try_new(name).await
    }
}

/// A local folder whose tables are CSV files of one type, and these files.
async fn folder_of_csv(
    state: &SessionState,
    name: &str,
) -> Result<Option<(ListingTableUrl, Vec<ObjectMeta>, FileType)>> {
    if !Path::new(name).is_dir() {
        return Ok(None);
    }
    let url = address_of(name)?;
    let store = state.runtime_env().object_store(&url)?;
    let mut files: Vec<ObjectMeta> = url.list_all_files(state, store.as_ref(), "").await?.try_collect().await?;
    files.retain(|file| {
        let mut parts = url.strip_prefix(&file.location).into_iter().flatten();
        !parts.any(|part| part.starts_with(['.', '_']))
    });
    let mut types = files.iter().map(|file| FileType::of(file.location.as_ref()));
    let Some(Some(first)) = types.next() else { return Ok(None) };
    let is_csv = matches!(first.format, Format::Csv | Format::Tsv);
    let are_equal = types.all(|other| other == Some(first));
    Ok((is_csv && are_equal).then_some((url, files, first)))
}

async fn folder(
    state: &SessionState,
    url: &ListingTableUrl,
    files: &[ObjectMeta],
    file: FileType,
) -> Result<Arc<dyn TableProvider>> {
    let store = state.runtime_env().object_store(url)?;
    let dialect = Dialect { delimiter: delimiter(file), escape: None, compression: file.compression };
    let mut all: Option<CsvShape> = None;
    for file in files {
        let shape = CsvShape::infer(&Object::new(&store, file), dialect).await?;
        all = Some(match all {
            Some(all) => all.merge(&shape)?,
            None => shape,
        });
    }
    let Some(shape) = all else { return plan_err!("the folder is empty") };
    let options = ListingOptions::new(Arc::new(shape.format())).with_file_extension(extension(file));
    let config = ListingTableConfig::new(url.clone()).with_listing_options(options);
    let config = config.infer_partitions_from_path(state).await?.with_schema(shape.schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// The extension that distinguishes the files of a folder from those of other types.
fn extension(file: FileType) -> String {
    let compression = match file.compression {
        Some(Compression::Gzip) => ".gz",
        Some(_) => ".zst",
        None => "",
    };
    format!(".{}{compression}", file.format.name().to_lowercase())
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
    let (format, schema) = match file.format {
        Format::Csv | Format::Tsv => {
            let delimiter = delimiter.unwrap_or_else(|| self::delimiter(file));
            let shape = shape(state, url, Dialect { delimiter, escape: None, compression: file.compression }).await?;
            (Arc::new(shape.format()) as Arc<dyn FileFormat>, Some(with_distinct_names(&shape.schema)))
        }
        _ => (format(state, file)?, None),
    };
    let is_mended = file.format == Format::Json && file.compression.is_none() && readers == Readers::Here;
    let url = if is_mended { json_text::address(state.runtime_env(), url)? } else { url.clone() };
    let options = ListingOptions::new(format).with_file_extension("");
    let schema = match schema {
        Some(schema) => schema,
        None => options.infer_schema(state, &url).await?,
    };
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
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

async fn shape(state: &SessionState, url: &ListingTableUrl, dialect: Dialect) -> Result<CsvShape> {
    let store = state.runtime_env().object_store(url)?;
    let meta = store.head(url.prefix()).await?;
    CsvShape::infer(&Object::new(&store, &meta), dialect).await
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
