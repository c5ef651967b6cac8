//! The file beside the output that lists what was skipped.

use serde::{Deserialize, Serialize};

use crate::job::error::{LabelError, Result};
use crate::job::storage::Storage;
use crate::job::summary::SetAside;

/// What each line says of its writer. Only files of such lines are replaced or removed.
const MARK: &str = "emotion label";

/// Bytes of a list at most; a longer file is not read to find out whether it is one.
const LONGEST: u64 = 1 << 28;

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    set_aside: &'a SetAside,
    written_by: &'a str,
}

#[derive(Deserialize)]
struct Mark<'a> {
    written_by: &'a str,
}

/// The name of the list.
pub fn name(storage: &Storage) -> String {
    match storage.file() {
        Some(file) => format!("{file}.errors.jsonl"),
        None => "_errors.jsonl".into(),
    }
}

/// Refuses an output with a file of the list's name that is no such list.
pub async fn check(storage: &Storage) -> Result<()> {
    if is_absent_or_ours(storage).await? {
        return Ok(());
    }
    let name = storage.shown_file(&name(storage));
    let what =
        format!("'{name}' would list what is skipped, but it is another file: rename it, or choose another --output");
    Err(LabelError::Conflict(what))
}

/// Writes what was skipped, one JSON object per line; removes the list of an earlier run if that is nothing.
pub async fn write(storage: &Storage, set_aside: &[SetAside]) -> Result<()> {
    if set_aside.is_empty() {
        return if is_absent_or_ours(storage).await? { storage.remove(&name(storage)).await } else { Ok(()) };
    }
    check(storage).await?;
    let mut lines = Vec::new();
    for set_aside in set_aside {
        serde_json::to_writer(&mut lines, &Line { set_aside, written_by: MARK })?;
        lines.push(b'\n');
    }
    storage.write(&name(storage), lines).await
}

async fn is_absent_or_ours(storage: &Storage) -> Result<bool> {
    let name = name(storage);
    match storage.size(&name).await? {
        None => Ok(true),
        Some(bytes) if bytes > LONGEST => Ok(false),
        Some(_) => Ok(storage.read(&name).await?.is_none_or(|content| is_marked(&content))),
    }
}

fn is_marked(content: &[u8]) -> bool {
    let mut lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).peekable();
    let is_ours = |line: &[u8]| serde_json::from_slice::<Mark>(line).is_ok_and(|line| line.written_by == MARK);
    lines.peek().is_some() && lines.all(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lists_of_errors_carry_the_mark() {
        let set_aside = SetAside::new("a.csv", None, Some(1), &LabelError::Damaged("cut".into()));
        let line = serde_json::to_string(&Line { set_aside: &set_aside, written_by: MARK }).unwrap();
        assert!(is_marked(format!("{line}\n{line}\n").as_bytes()));
        let foreign = "{\"text\":\"I like you.\"}";
        for content in ["", foreign, &format!("{line}\n{foreign}\n"), "{\"written_by\":1}"] {
            assert!(!is_marked(content.as_bytes()), "{content}");
        }
    }
}
