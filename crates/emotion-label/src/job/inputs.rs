//! Which files there are to label.

use std::collections::BTreeMap;
use std::path::{Path, is_separator};
use std::sync::Arc;

use datafusion::datasource::listing::ListingTableUrl;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
#[cfg(feature = "analysis")]
use futures::TryStreamExt;
use futures::stream::BoxStream;
use glob::{MatchOptions, Pattern};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use crate::address::{absolute, in_store_of, local, without_separator};
use crate::format::{FileType, Format};
use crate::job::delta;
use crate::job::error::{Context, LabelError, Result};
use crate::job::storage::Storage;
use crate::job::summary::SetAside;
use crate::local_files::{self, path_at, unescaped};

/// A star stands for a part of a name, not for folders.
const IN_A_FOLDER: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A file to label.
#[derive(Clone)]
pub struct Input {
    /// Its path under the folder or before the pattern that it was found by.
    pub name: String,
    /// What messages call it.
    pub shown: String,
    pub file: FileType,
    pub url: ListingTableUrl,
    pub store: Arc<dyn ObjectStore>,
    pub meta: ObjectMeta,
}

impl Input {
    /// Its path, if it is on this machine.
    pub fn local_path(&self) -> Option<String> {
        let is_local = self.url.scheme() == "file";
        is_local.then(|| path_at(self.meta.location.as_ref()).to_string_lossy().into_owned())
    }
}

/// What the arguments of a job name.
pub struct Inputs {
    /// The files to label, in the order of their names.
    pub files: Vec<Input>,
    pub left_out: LeftOut,
}

/// What is not labeled of what the arguments of a job name.
pub struct LeftOut {
    /// The number of files of other types.
    pub others: usize,
    /// Folders and files that cannot be listed.
    pub unlisted: Vec<SetAside>,
}

/// The files of these folders, patterns and names; what the job itself writes is left out. What cannot be listed is an
/// error, unless the job is to keep going.
pub async fn find(
    context: &SessionContext,
    arguments: &[String],
    is_csv: bool,
    keep_going: bool,
    output: &Storage,
) -> Result<Inputs> {
    let (mut inputs, mut others, mut unlisted) = (BTreeMap::new(), 0, Vec::new());
    for argument in arguments {
        let mut found = Found::by(context, argument, keep_going).await?;
        let mut is_empty = found.unlisted.is_empty();
        unlisted.append(&mut found.unlisted);
        for meta in &found.files {
            let input = found.input(meta, is_csv)?;
            let Some(input) = input else {
                others += usize::from(!found.is_hidden(meta));
                continue;
            };
            if output.holds(&input.url) {
                if found.is_one_file() {
                    return refused(format!("'{argument}' is in the output itself: choose another --output"));
                }
                continue;
            }
            is_empty = false;
            let url = input.url.as_str().to_string();
            if let Some(other) = inputs.insert(input.name.clone(), input)
                && other.url.as_str() != url
            {
                return refused(format!(
                    "'{}' and '{url}' would both be labeled into '{}': name a folder that holds both",
                    other.shown, other.name
                ));
            }
        }
        if is_empty {
            let what = "there is nothing to label in";
            let extensions = Format::EXTENSIONS;
            return refused(format!("{what} '{argument}': no file outside the output has the extension {extensions}"));
        }
    }
    Ok(Inputs { files: inputs.into_values().collect(), left_out: LeftOut { others, unlisted } })
}

/// The files that match a local pattern, and the address of the folder that it is looked for in.
#[cfg(feature = "analysis")]
pub(crate) async fn matching(argument: &str) -> Result<(ListingTableUrl, Vec<ObjectMeta>)> {
    let (url, pattern) = address(argument)?;
    let depth = pattern.as_ref().and_then(depth).unwrap_or(usize::MAX);
    let mut files: Vec<ObjectMeta> = local_files::list(url.prefix().as_ref(), depth).try_collect().await?;
    files.retain(|file| is_match(pattern.as_ref(), &url, &file.location));
    Ok((url, files))
}

fn refused<T>(what: String) -> Result<T> {
    Err(LabelError::Refused(what))
}

/// What one argument names.
struct Found {
    argument: String,
    url: ListingTableUrl,
    store: Arc<dyn ObjectStore>,
    files: Vec<ObjectMeta>,
    unlisted: Vec<SetAside>,
}

impl Found {
    async fn by(context: &SessionContext, argument: &str, keep_going: bool) -> Result<Self> {
        let (url, pattern) = address(argument)?;
        let store = context.runtime_env().object_store(&url).with_context(|| format!("cannot reach '{argument}'"))?;
        let cannot = || format!("cannot list '{argument}'");
        let (mut files, mut unlisted) = (Vec::new(), Vec::new());
        let mut found = match pattern.as_ref().and_then(depth).filter(|_| url.scheme() == "file") {
            Some(depth) => local_files::list(url.prefix().as_ref(), depth),
            None => listed(&store, &url).await.with_context(cannot)?,
        };
        while let Some(file) = found.next().await {
            match file.with_context(cannot) {
                Ok(file) => files.push(file),
                Err(error) if keep_going => unlisted.push(SetAside::new(argument, None, None, &error)),
                Err(error) => return Err(error),
            }
        }
        drop(found);
        let is_wanted = |file: &ObjectPath| is_match(pattern.as_ref(), &url, file);
        let is_file = matches!(&files[..], [file] if file.location == *url.prefix());
        let files = if is_file { files } else { delta::live(&store, url.prefix(), files, is_wanted).await? };
        if files.is_empty() && unlisted.is_empty() {
            let is_empty_folder = Path::new(argument).is_dir();
            let what = if is_empty_folder { "there is no file in the folder" } else { "there is no file" };
            return refused(format!("{what} '{argument}'"));
        }
        Ok(Self { argument: argument.into(), url, store, files, unlisted })
    }

    fn is_one_file(&self) -> bool {
        self.files.len() == 1 && self.files[0].location == *self.url.prefix()
    }

    /// Path of a file under the argument; of a file that is the argument, its name.
    fn name(&self, file: &ObjectMeta) -> String {
        let path = path_under(&self.url, &file.location);
        let name = if path.is_empty() { file.location.filename().unwrap_or_default().into() } else { path };
        let path = || Path::new("/").join(file.location.as_ref());
        let is_literal = !name.contains('%') || self.url.scheme() != "file" || path().exists();
        if is_literal { name } else { unescaped(&name) }
    }

    /// Whether the file is none that people mean, such as `_SUCCESS`, or in a folder of such.
    fn is_hidden(&self, file: &ObjectMeta) -> bool {
        !self.is_one_file() && self.name(file).split('/').any(|part| part.starts_with(['.', '_']))
    }

    fn input(&self, file: &ObjectMeta, is_csv: bool) -> Result<Option<Input>> {
        let name = self.name(file);
        if self.is_hidden(file) {
            return Ok(None);
        }
        let Some(file_type) = (if is_csv { Some(FileType::of_separated(&name)) } else { FileType::of(&name) }) else {
            if self.is_one_file() {
                let (name, extensions) = (&self.argument, Format::EXTENSIONS);
                return refused(format!(
                    "'{name}' is not a table: the name of a file must have the extension {extensions}"
                ));
            }
            return Ok(None);
        };
        Ok(Some(Input {
            shown: self.shown(&name),
            name,
            file: file_type,
            url: in_store_of(&self.url, &file.location)?,
            store: Arc::clone(&self.store),
            meta: file.clone(),
        }))
    }

    fn shown(&self, name: &str) -> String {
        if self.is_one_file() {
            return self.argument.clone();
        }
        let (base, _) = split_pattern(&self.argument);
        match without_separator(base) {
            "" | "." => name.into(),
            base => format!("{base}/{name}"),
        }
    }
}

/// The file of an address, or all files under it. An entry that cannot be listed does not end the others.
async fn listed(
    store: &Arc<dyn ObjectStore>,
    url: &ListingTableUrl,
) -> object_store::Result<BoxStream<'static, object_store::Result<ObjectMeta>>> {
    if !url.is_collection() {
        match store.head(url.prefix()).await {
            Ok(meta) => return Ok(futures::stream::once(async { Ok(meta) }).boxed()),
            // Perhaps a folder, whose name has no slash at its end.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(store.list(Some(url.prefix())))
}

/// How deep the files of a pattern are under its folder at most; `None` if `**` stands for any number of folders.
///
/// What is deeper need not be readable.
fn depth(pattern: &Pattern) -> Option<usize> {
    let parts = pattern.as_str().split('/');
    (!pattern.as_str().contains("**")).then(|| parts.count())
}

fn is_match(pattern: Option<&Pattern>, url: &ListingTableUrl, file: &ObjectPath) -> bool {
    pattern.is_none_or(|pattern| pattern.matches_with(&path_under(url, file), IN_A_FOLDER))
}

fn path_under(url: &ListingTableUrl, file: &ObjectPath) -> String {
    url.strip_prefix(file).into_iter().flatten().collect::<Vec<_>>().join("/")
}

/// The address of a file or a folder, and the pattern of the files that are meant under it.
fn address(argument: &str) -> Result<(ListingTableUrl, Option<Pattern>)> {
    let (base, pattern) = split_pattern(argument);
    // Paths under the folder have slashes, on Windows too.
    let pattern = pattern.map(|pattern| Pattern::new(&pattern.replace(is_separator, "/"))).transpose();
    let pattern = pattern.with_context(|| format!("'{argument}' is not a pattern"))?;
    if argument.contains("://") {
        let url = ListingTableUrl::parse(base).with_context(|| format!("'{argument}' is not an address"))?;
        return Ok((url, pattern));
    }
    let base = if base.is_empty() { "." } else { base };
    let path = absolute(Path::new(base)).with_context(|| {
        format!("there is no file '{argument}': check the path, which starts from the current folder")
    })?;
    Ok((local(&path)?, pattern))
}

/// A pattern, and the folder that it is looked for in. An existing path is not a pattern, and neither are existing
/// folders at its start.
fn split_pattern(argument: &str) -> (&str, Option<&str>) {
    let is_remote = argument.contains("://");
    if !is_remote && Path::new(argument).exists() {
        return (argument, None);
    }
    let wild: &[char] = if is_remote { &['*'] } else { &['*', '?', '['] };
    let mut start = 0;
    while let Some(at) = argument[start..].find(wild).map(|at| start + at) {
        start = argument[..at].rfind(is_separator).map_or(0, |slash| slash + 1);
        let end = argument[at..].find(is_separator).map(|length| at + length + 1);
        match end {
            Some(end) if !is_remote && Path::new(&argument[..end]).is_dir() => start = end,
            _ => return (&argument[..start], Some(&argument[start..])),
        }
    }
    (argument, None)
}
