//! The files that are written.

use std::collections::HashMap;

use crate::format::{FileType, Format};
use crate::job::error::{LabelError, Result};
use crate::job::error_list;
use crate::job::inputs::Input;
use crate::job::storage::Storage;

/// The file that is made of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its path within the output.
    pub name: String,
    pub file: FileType,
}

impl Target {
    /// The file in `format` that is made of the file of this name and type.
    pub fn of(name: &str, input: FileType, format: Format) -> Self {
        if input.format == format {
            return Self { name: name.into(), file: input };
        }
        let stem = match FileType::of(name) {
            Some(FileType { compression, .. }) => {
                let extensions = 1 + usize::from(compression.is_some());
                name.rsplitn(extensions + 1, '.').last().unwrap_or(name)
            }
            None => name,
        };
        let name = format!("{stem}.{}", format.name().to_lowercase());
        Self { name, file: FileType { format, compression: None } }
    }
}

/// What each input is labeled into.
pub fn targets(inputs: &[Input], format: Format, storage: &Storage) -> Result<Vec<Target>> {
    if let Some(name) = storage.file() {
        if inputs.len() > 1 {
            let files = inputs.len();
            let what =
                format!("{files} files cannot be labeled into the one file '{name}': name a folder with --output");
            return Err(LabelError::Refused(what));
        }
        let compression = storage.file_type().filter(|file| file.format == format).and_then(|file| file.compression);
        return Ok(vec![Target { name: name.into(), file: FileType { format, compression } }]);
    }
    let targets: Vec<_> = inputs.iter().map(|input| Target::of(&input.name, input.file, format)).collect();
    let errors = error_list::name(storage);
    if let Some((input, _)) = inputs.iter().zip(&targets).find(|(_, target)| target.name == errors) {
        let what = format!("'{}' would be labeled into '{errors}', which lists errors: rename it", input.shown);
        return Err(LabelError::Refused(what));
    }
    let mut names = HashMap::new();
    for (input, target) in inputs.iter().zip(&targets) {
        if let Some(other) = names.insert(&target.name, &input.shown) {
            let (one, two, name) = (other, &input.shown, &target.name);
            let what = "would both be labeled into";
            let what = format!("'{one}' and '{two}' {what} '{name}': label them into different folders");
            return Err(LabelError::Refused(what));
        }
    }
    Ok(targets)
}

/// Whether a format has a field per value, without structs.
pub fn is_separated(format: Format) -> bool {
    matches!(format, Format::Csv | Format::Tsv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_format() {
        let target = |name: &str, format| {
            let target = Target::of(name, FileType::of(name).unwrap(), format);
            (target.name, target.file.compression.is_some())
        };
        assert_eq!(target("a.b/c.jsonl", Format::Json), ("a.b/c.jsonl".into(), false));
        assert_eq!(target("a.csv.gz", Format::Csv), ("a.csv.gz".into(), true));
        assert_eq!(target("a.csv.gz", Format::Parquet), ("a.parquet".into(), false));
        assert_eq!(target("a.b.avro", Format::Parquet), ("a.b.parquet".into(), false));
        let notes = FileType { format: Format::Csv, compression: None };
        assert_eq!(Target::of("notes.txt", notes, Format::Arrow).name, "notes.txt.arrow");
    }
}
