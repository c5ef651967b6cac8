//! The columns that are added.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float32Array, ListBuilder, StringArray, StringBuilder, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use emotion_classifier::{Classifier, Prediction};

use crate::format::Format;
use crate::job::error::{LabelError, Result};
use crate::job::target::is_separated;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Label,
    Labels,
    Score,
    Scores,
    Truncated,
}

impl Kind {
    const ALL: [(Self, &str); 5] = [
        (Self::Label, "label"),
        (Self::Labels, "labels"),
        (Self::Score, "score"),
        (Self::Scores, "scores"),
        (Self::Truncated, "truncated"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// Which columns are added, and under which names: a list such as `label,score=confidence`.
///
/// The columns are `label`, `labels` (a list of those that hold), `score`, `scores` (of all labels) and `truncated`. The default is `label,score`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns(Vec<(Kind, String)>);

/// A list of columns that cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidColumns(String);

impl Default for Columns {
    fn default() -> Self {
        Self(vec![(Kind::Label, "label".into()), (Kind::Score, "score".into())])
    }
}

impl FromStr for Columns {
    type Err = InvalidColumns;

    /// Reads `label,score=confidence`.
    fn from_str(list: &str) -> Result<Self, InvalidColumns> {
        let column = |item: &str| {
            let (kind, name) = item.split_once('=').unwrap_or((item, item));
            let found = Kind::ALL.iter().find(|(_, known)| *known == kind.trim());
            match (found, name.trim()) {
                (Some(_), "") => Err(InvalidColumns(format!("'{item}' gives no name"))),
                (Some((kind, _)), name) => Ok((*kind, name.to_string())),
                (None, _) => {
                    Err(InvalidColumns(format!("'{kind}' is none of label, labels, score, scores and truncated")))
                }
            }
        };
        let columns: Vec<_> = list.split(',').map(column).collect::<Result<_, _>>()?;
        for (at, (_, name)) in columns.iter().enumerate() {
            if columns[..at].iter().any(|(_, other)| is_same(other, name)) {
                return Err(InvalidColumns(format!("'{name}' stands there twice")));
            }
        }
        Ok(Self(columns))
    }
}

impl std::fmt::Display for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let items = self.0.iter().map(|(kind, name)| format!("{}={name}", kind.name()));
        f.write_str(&items.collect::<Vec<_>>().join(","))
    }
}

/// Whether two names are one to engines that do not tell capitals apart.
fn is_same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

impl Columns {
    /// Refuses names that the input has already.
    pub(crate) fn check(&self, added: &Schema, input: &Schema, file: &str) -> Result<()> {
        let clash = added.fields().iter().find_map(|new| {
            input.fields().iter().find(|field| is_same(field.name(), new.name())).map(|field| field.name())
        });
        let Some(name) = clash else { return Ok(()) };
        let renamed = |(kind, name): &(Kind, String)| format!("{}=emotion_{name}", kind.name());
        let renamed = self.0.iter().map(renamed).collect::<Vec<_>>().join(",");
        Err(LabelError::Refused(format!(
            "'{file}' has a column '{name}' already: choose names for the new ones, for example --columns {renamed}"
        )))
    }

    /// The columns' names and types.
    pub(crate) fn schema(&self, classifier: &Classifier, format: Format) -> Schema {
        let fields = self.0.iter().flat_map(|(kind, name)| match kind {
            Kind::Label => vec![Field::new(name, DataType::Utf8, true)],
            Kind::Labels if is_separated(format) => vec![Field::new(name, DataType::Utf8, true)],
            Kind::Labels => vec![Field::new(name, DataType::new_list(DataType::Utf8, true), true)],
            Kind::Score => vec![Field::new(name, DataType::Float32, true)],
            Kind::Truncated => vec![Field::new(name, DataType::Boolean, true)],
            Kind::Scores if is_separated(format) => {
                let column = |label: &Arc<str>| Field::new(format!("{name}_{label}"), DataType::Float32, true);
                classifier.labels().iter().map(column).collect()
            }
            Kind::Scores => vec![Field::new(name, DataType::Struct(score_fields(classifier)), true)],
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    /// The columns' values for rows of these predictions, whose labels hold from `threshold` on.
    pub(crate) fn arrays(
        &self,
        classifier: &Classifier,
        format: Format,
        threshold: Option<f32>,
        rows: &[Option<Arc<Prediction>>],
    ) -> Vec<ArrayRef> {
        let column = |kind: Kind| -> Vec<ArrayRef> {
            match kind {
                Kind::Label => {
                    let held = |row| classifier.held_label(row, threshold).map(|label| &**label);
                    let labels = rows.iter().map(|row| row.as_deref().and_then(held));
                    vec![Arc::new(labels.collect::<StringArray>())]
                }
                Kind::Labels => {
                    let held = |row| classifier.held_labels(row, threshold).map(|label| &**label);
                    let lists = rows.iter().map(|row| row.as_deref().map(held));
                    if is_separated(format) { vec![json_arrays(lists)] } else { vec![lists_of(lists)] }
                }
                Kind::Score => {
                    let scores = rows.iter().map(|row| row.as_deref().map(|row| row.score));
                    vec![Arc::new(scores.collect::<Float32Array>())]
                }
                Kind::Truncated => {
                    let truncated = rows.iter().map(|row| row.as_deref().map(|row| row.truncated));
                    vec![Arc::new(truncated.collect::<BooleanArray>())]
                }
                Kind::Scores if is_separated(format) => scores(classifier, rows),
                Kind::Scores => {
                    let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
                    let scores = scores(classifier, rows);
                    vec![Arc::new(StructArray::new(score_fields(classifier), scores, Some(nulls)))]
                }
            }
        };
        self.0.iter().flat_map(|(kind, _)| column(*kind)).collect()
    }
}

fn lists_of<'a>(rows: impl Iterator<Item = Option<impl Iterator<Item = &'a str>>>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        lists.append_option(row.map(|labels| labels.map(Some)));
    }
    Arc::new(lists.finish())
}

fn json_arrays<'a>(rows: impl Iterator<Item = Option<impl Iterator<Item = &'a str>>>) -> ArrayRef {
    let arrays = rows.map(|row| row.map(|labels| labels.collect::<serde_json::Value>().to_string()));
    Arc::new(arrays.collect::<StringArray>())
}

fn score_fields(classifier: &Classifier) -> Fields {
    classifier.labels().iter().map(|label| Field::new(&**label, DataType::Float32, true)).collect()
}

fn scores(classifier: &Classifier, rows: &[Option<Arc<Prediction>>]) -> Vec<ArrayRef> {
    let column = |id: usize| -> ArrayRef {
        let scores = rows.iter().map(|row| row.as_deref().map(|row| row.probabilities[id]));
        Arc::new(scores.collect::<Float32Array>())
    };
    (0..classifier.labels().len()).map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(list: &str) -> String {
        list.parse::<Columns>().unwrap_err().to_string()
    }

    #[test]
    fn columns_and_their_names_are_read() {
        let columns: Columns = "label, score=confidence".parse().unwrap();
        assert_eq!(columns.to_string(), "label=label,score=confidence");
        assert_eq!("label=Emotion".parse::<Columns>().unwrap().to_string(), "label=Emotion");
        assert_eq!(Columns::default(), "label,score".parse().unwrap());
        assert_eq!(refusal("label,feeling"), "'feeling' is none of label, labels, score, scores and truncated");
        assert_eq!(refusal("label="), "'label=' gives no name");
        assert_eq!(refusal("label=a,score=A"), "'A' stands there twice");
    }
}
