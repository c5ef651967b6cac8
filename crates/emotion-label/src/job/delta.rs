//! The live files of Delta tables among the files of a folder.
//!
//! A Delta table keeps the files of its earlier versions. Its log, `_delta_log`, says which belong to the current one:
//! each commit is a file of JSON lines with the files that it adds and removes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::job::error::{Context, LabelError, Result};
use crate::local_files::DELTA_LOG;

/// Commits that are read side by side.
const READ_AT_ONCE: usize = 16;

/// A line of a commit.
#[derive(Deserialize)]
struct Action {
    add: Option<Add>,
    remove: Option<Remove>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Add {
    path: String,
    deletion_vector: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Remove {
    path: String,
}

/// The logs of tables: their commits by version, by the path of the table.
type Logs<'a> = BTreeMap<String, BTreeMap<u64, &'a ObjectMeta>>;

/// The wanted ones of the files of a folder, without those that Delta tables have removed, or have not committed.
///
/// A table may be in the folder, or the folder in a table. Only tables with wanted files are looked at.
pub async fn live(
    store: &Arc<dyn ObjectStore>,
    folder: &Path,
    files: Vec<ObjectMeta>,
    is_wanted: impl Fn(&Path) -> bool,
) -> Result<Vec<ObjectMeta>> {
    let logs_above = logs_above(store, folder).await?;
    let wanted: Vec<_> = files.iter().filter(|file| is_wanted(&file.location)).collect();
    let mut tables = Vec::new();
    for (table, commits) in logs(files.iter().chain(&logs_above)) {
        if wanted.iter().any(|file| file.location.as_ref().starts_with(&table)) {
            let live = replayed(store, &table, &commits).await?;
            tables.push((table, live));
        }
    }
    let is_live = |file: &ObjectMeta| {
        let path = file.location.as_ref();
        tables.iter().filter(|(table, _)| path.starts_with(&**table)).all(|(_, live)| live.contains(path))
    };
    let names: BTreeSet<&str> = files.iter().map(|file| file.location.as_ref()).collect();
    let folder = if folder.as_ref().is_empty() { String::new() } else { format!("{folder}/") };
    let is_needed =
        |path: &str| path.starts_with(&folder) && Path::parse(path).is_ok_and(|location| is_wanted(&location));
    let mut needed = tables.iter().flat_map(|(_, live)| live).filter(|path| is_needed(path));
    if let Some(absent) = needed.find(|path| !names.contains(&***path)) {
        return Err(LabelError::Damaged(format!("the file '{absent}' of a Delta table is not there")));
    }
    Ok(wanted.into_iter().filter(|file| is_live(file)).cloned().collect())
}

/// The files of the logs of the tables that a folder is in.
async fn logs_above(store: &Arc<dyn ObjectStore>, folder: &Path) -> Result<Vec<ObjectMeta>> {
    let (parts, mut logs): (Vec<_>, _) = (folder.parts().collect(), Vec::new());
    for depth in 0..parts.len() {
        let log: Path = parts[..depth].iter().cloned().chain([DELTA_LOG.into()]).collect();
        match store.list_with_delimiter(Some(&log)).await {
            Ok(found) => logs.extend(found.objects),
            // What is above the folder may be hidden, or may not be listed, as over HTTP.
            Err(
                Error::NotFound { .. }
                | Error::PermissionDenied { .. }
                | Error::Unauthenticated { .. }
                | Error::NotSupported { .. }
                | Error::NotImplemented { .. }
                | Error::InvalidPath { .. },
            ) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot list '{log}'")),
        }
    }
    Ok(logs)
}

fn logs<'a>(files: impl Iterator<Item = &'a ObjectMeta>) -> Logs<'a> {
    let mut logs = Logs::new();
    for file in files {
        let path = file.location.as_ref();
        let Some((table, name)) = path.rsplit_once(&format!("{DELTA_LOG}/")) else { continue };
        if !table.is_empty() && !table.ends_with('/') {
            continue;
        }
        let commits = logs.entry(table.to_string()).or_default();
        let version = name.strip_suffix(".json").and_then(|version| version.parse().ok());
        commits.extend(version.map(|version| (version, file)));
    }
    logs
}

/// The paths of the files of a table's last version.
async fn replayed(
    store: &Arc<dyn ObjectStore>,
    table: &str,
    commits: &BTreeMap<u64, &ObjectMeta>,
) -> Result<BTreeSet<String>> {
    let shown = table.trim_end_matches('/');
    let refused = |what: &str| LabelError::Refused(format!("the Delta table '{shown}' {what}"));
    if commits.is_empty() || commits.keys().copied().ne(0..commits.len() as u64) {
        return Err(refused(
            "has commits in checkpoints alone, which are not read: write its current version to files first",
        ));
    }
    let read = |commit: &ObjectMeta| {
        let location = commit.location.clone();
        async move { store.get(&location).await?.bytes().await }
    };
    let cannot = || format!("cannot read the log of the Delta table '{shown}'");
    let commits = futures::stream::iter(commits.values().map(|commit| read(commit))).buffered(READ_AT_ONCE);
    let commits: Vec<_> = commits.try_collect().await.with_context(cannot)?;
    let mut live = BTreeMap::new();
    for commit in &commits {
        // The actions of a commit have no order: it may replace a file by one of the same path.
        let mut added = Vec::new();
        for line in commit.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let action: Action = serde_json::from_slice(line).with_context(cannot)?;
            if let Some(Remove { path }) = action.remove {
                live.remove(&path);
            }
            added.extend(action.add);
        }
        live.extend(added.into_iter().map(|Add { path, deletion_vector }| (path, deletion_vector.is_some())));
    }
    if live.values().any(|has_vector| *has_vector) {
        return Err(refused("has deletion vectors, which are not read: run REORG TABLE … APPLY (PURGE) first"));
    }
    let path = |path: &String| match Path::from_url_path(path) {
        Ok(relative) if !path.contains(':') && !path.starts_with('/') => Ok(format!("{table}{relative}")),
        _ => Err(refused("has files in other folders, which are not read: write its current version to files first")),
    };
    live.keys().map(path).collect()
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    async fn live_files(files: &[(&str, &str)]) -> Result<Vec<String>> {
        live_files_in("", files, |_| true).await
    }

    async fn live_files_in(folder: &str, files: &[(&str, &str)], is_wanted: fn(&Path) -> bool) -> Result<Vec<String>> {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for (path, content) in files {
            store.put(&Path::from(*path), content.to_string().into()).await.unwrap();
        }
        let folder = Path::from(folder);
        let all = store.list(Some(&folder)).try_collect().await.unwrap();
        let live = live(&store, &folder, all, is_wanted).await?;
        Ok(live.into_iter().map(|file| file.location.to_string()).collect())
    }

    const FIRST: (&str, &str) = (
        "a/t/_delta_log/00000000000000000000.json",
        "{\"commitInfo\":{}}\n{\"add\":{\"path\":\"old.parquet\",\"size\":1}}\n{\"add\":{\"path\":\"day=2024%201/kept.parquet\"}}\n",
    );
    const SECOND: (&str, &str) = (
        "a/t/_delta_log/00000000000000000001.json",
        "{\"remove\":{\"path\":\"old.parquet\"}}\n{\"add\":{\"path\":\"new.parquet\",\"deletionVector\":null}}",
    );
    const TABLES: [(&str, &str); 5] = [
        ("a/t/old.parquet", ""),
        ("a/t/day=2024 1/kept.parquet", ""),
        ("a/t/new.parquet", ""),
        ("a/t/uncommitted.parquet", ""),
        ("a/other.parquet", ""),
    ];

    #[tokio::test]
    async fn files_of_the_last_version_are_live() {
        let files = [&[FIRST, SECOND, ("a/t/_delta_log/_last_checkpoint", "")], &TABLES[..]].concat();
        let live = live_files(&files).await.unwrap();
        assert_eq!(live, ["a/other.parquet", "a/t/day=2024 1/kept.parquet", "a/t/new.parquet"]);
        assert_eq!(live_files(&TABLES).await.unwrap().len(), 5);
    }

    #[tokio::test]
    async fn a_folder_of_a_table_follows_the_log_of_the_table() {
        let dead = ("a/t/day=2024 1/dead.parquet", "");
        let files = [&[FIRST, SECOND, dead], &TABLES[..]].concat();
        let live = live_files_in("a/t/day=2024 1", &files, |_| true).await.unwrap();
        assert_eq!(live, ["a/t/day=2024 1/kept.parquet"]);
    }

    #[tokio::test]
    async fn a_table_without_wanted_files_is_not_replayed() {
        let files = [&[SECOND], &TABLES[..]].concat();
        let is_other = |file: &Path| file.as_ref() == "a/other.parquet";
        assert_eq!(live_files_in("a", &files, is_other).await.unwrap(), ["a/other.parquet"]);
        assert!(live_files_in("a", &files, |_| true).await.is_err());
    }

    #[tokio::test]
    async fn what_cannot_be_replayed_is_refused() {
        let commit = |line: &'static str| ("a/t/_delta_log/00000000000000000002.json", line);
        for (log, part) in [
            (vec![SECOND, ("a/t/_delta_log/00000000000000000001.checkpoint.parquet", "")], "in checkpoints alone"),
            (vec![("a/t/_delta_log/_last_checkpoint", "")], "in checkpoints alone"),
            (
                vec![FIRST, SECOND, commit("{\"add\":{\"path\":\"new.parquet\",\"deletionVector\":{}}}")],
                "deletion vectors",
            ),
            (
                vec![
                    FIRST,
                    SECOND,
                    commit(
                        "{\"add\":{\"path\":\"new.parquet\",\"deletionVector\":{}}}\n{\"remove\":{\"path\":\"new.parquet\"}}",
                    ),
                ],
                "deletion vectors",
            ),
            (vec![FIRST, SECOND, commit("{\"add\":{\"path\":\"s3://bucket/new.parquet\"}}")], "in other folders"),
            (
                vec![FIRST, SECOND, commit("{\"add\":{\"path\":\"gone.parquet\"}}")],
                "'a/t/gone.parquet' of a Delta table",
            ),
            (vec![FIRST, SECOND, commit("{")], "cannot read the log of the Delta table 'a/t'"),
        ] {
            let refused = live_files(&[&log[..], &TABLES[..]].concat()).await.unwrap_err();
            assert!(refused.to_string().contains(part), "{refused}");
        }
    }
}
