//! The files of a folder or a pattern that are one table in SQL.

use std::collections::BTreeSet;
use std::path::Path;

use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::{DataFusionError, Result};
use futures::TryStreamExt;
use object_store::ObjectMeta;

use crate::address::{absolute, in_store_of, local};
use crate::format::FileType;
use crate::job::LabelError;
use crate::job::inputs::matching;
use crate::local_files;

/// Files of one type.
pub(crate) struct ListedFiles {
    /// Addresses by which `DataFusion` finds these files and no others.
    pub urls: Vec<ListingTableUrl>,
    /// The end of the names of the files at these addresses.
    pub extension: String,
    /// The files, of which there is at least one.
    pub metas: Vec<ObjectMeta>,
    /// The type of all of them.
    pub file: FileType,
}

/// The files in a local folder, or those that match a pattern; `None` of another name, and if no file is of a known type.
/// If they `are_csv`, all files are CSV or TSV whatever their names.
///
/// Files whose names begin with `.` or `_`, such as `_SUCCESS`, are left out, also those in folders of such names.
pub(crate) async fn listed(name: &str, are_csv: bool) -> Result<Option<ListedFiles>> {
    let path = Path::new(name);
    let is_pattern = !path.exists() && !name.contains("://") && name.contains(['*', '?', '[']);
    let (url, all) = match (path.is_dir(), is_pattern) {
        (true, _) => in_folder(path).await?,
        (_, true) => match matching(name).await {
            Ok(found) => found,
            Err(LabelError::Refused(_)) => return Ok(None),
            Err(error) => return Err(DataFusionError::External(Box::new(error))),
        },
        _ => return Ok(None),
    };
    let (mut metas, mut types) = (Vec::new(), Vec::new());
    for meta in &all {
        if let Some(file) = type_of(&url, meta, are_csv) {
            metas.push(meta.clone());
            types.push(file);
        }
    }
    let Some(file) = types.first().copied() else { return Ok(None) };
    check_types(name, &types, are_csv)?;
    let (urls, extension) = addresses(&url, &all, &metas, is_pattern)?;
    Ok(Some(ListedFiles { urls, extension, metas, file }))
}

async fn in_folder(folder: &Path) -> Result<(ListingTableUrl, Vec<ObjectMeta>)> {
    let url = local(&absolute(folder)?)?;
    let files = local_files::list(url.prefix().as_ref(), usize::MAX).try_collect().await?;
    Ok((url, files))
}

/// The type of a file that is not hidden.
fn type_of(folder: &ListingTableUrl, file: &ObjectMeta, are_csv: bool) -> Option<FileType> {
    let mut parts = folder.strip_prefix(&file.location).into_iter().flatten();
    if parts.any(|part| part.starts_with(['.', '_'])) {
        return None;
    }
    let name = file.location.filename().unwrap_or_default();
    if are_csv { Some(FileType::of_separated(name)) } else { FileType::of(name) }
}

fn check_types(name: &str, types: &[FileType], are_csv: bool) -> Result<()> {
    let first = types[0];
    let refused = |what: String| Err(DataFusionError::External(what.into()));
    if let Some(other) = types.iter().find(|other| other.format != first.format).filter(|_| !are_csv) {
        let (one, other) = (first.format.name(), other.format.name());
        return refused(format!(
            "'{name}' contains files of several formats, such as {one} and {other}: name a pattern of one format, such \
             as 'folder/*.csv'"
        ));
    }
    if types.iter().any(|other| other.compression != first.compression) {
        return refused(format!(
            "'{name}' contains files of several compressions: name a pattern of one compression, such as \
             'folder/*.csv.gz'"
        ));
    }
    Ok(())
}

/// The addresses of these files, and the end of their names.
///
/// Folders such as `year=2026` are columns only of a folder's address. If other files in the folder have the same
/// extensions, a pattern leaves them out.
fn addresses(
    url: &ListingTableUrl,
    all: &[ObjectMeta],
    metas: &[ObjectMeta],
    is_pattern: bool,
) -> Result<(Vec<ListingTableUrl>, String)> {
    let extensions: BTreeSet<&str> = metas.iter().map(extension).collect();
    let of_extension = |file: &&ObjectMeta| extensions.iter().any(|end| file.location.as_ref().ends_with(end));
    let has_others = all.iter().filter(of_extension).count() > metas.len();
    let columns = columns(url, &metas[0]);
    // DataFusion finds no files in other folders.
    let is_found = columns.is_some() && metas.iter().all(|file| self::columns(url, file) == columns);
    if is_pattern || !is_found {
        let urls = metas.iter().map(|file| in_store_of(url, &file.location)).collect::<Result<_>>()?;
        return Ok((urls, String::new()));
    }
    if let ([extension], false) = (&extensions.iter().collect::<Vec<_>>()[..], has_others) {
        return Ok((vec![url.clone()], (**extension).to_string()));
    }
    let globs = extensions.iter().map(|extension| url.clone().with_glob(&format!("[!._]*{extension}")));
    Ok((globs.collect::<Result<_>>()?, String::new()))
}

/// The names of the columns that are the folders of a file, such as `year` of `year=2026`; `None` if one of them is none.
fn columns(folder: &ListingTableUrl, file: &ObjectMeta) -> Option<Vec<String>> {
    let mut parts: Vec<&str> = folder.strip_prefix(&file.location)?.collect();
    parts.pop();
    parts.into_iter().map(|part| part.split_once('=').map(|(name, _)| name.to_string())).collect()
}

/// The extension of a file as it is written, with that of its compression.
fn extension(file: &ObjectMeta) -> &str {
    let name = file.location.filename().unwrap_or_default();
    let is_compressed = FileType::of_separated(name).compression.is_some();
    let dot = name.rmatch_indices('.').nth(usize::from(is_compressed));
    dot.map_or("", |(at, _)| &name[at..])
}
