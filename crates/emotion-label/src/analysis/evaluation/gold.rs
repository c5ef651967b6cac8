//! The labels that the texts of a file have, as it gives them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use emotion_classifier::{Classifier, ProblemType};
use serde_json::Value;

use crate::analysis::columns::{NO_LABEL, strings};
use crate::analysis::error::{AnalysisError, Result};

/// What files call the label of a text that has none of the model's labels.
const NAMES_OF_NO_LABEL: [&str; 3] = ["neutral", NO_LABEL, ""];

/// Reads columns of labels as classes: the ids of the model's labels, and perhaps one more for texts of no label.
pub(crate) struct Gold {
    labels: Vec<Arc<str>>,
    problem_type: ProblemType,
    /// Whether a text may have none of the model's labels.
    with_none: bool,
}

/// The class of a label, `None` for no label; or a label that is not the model's.
type Class = Result<Option<usize>, String>;

/// The classes of a row; or a label that is not the model's.
type Classes = Result<Vec<usize>, String>;

impl Gold {
    pub(crate) fn new(classifier: &Classifier, with_none: bool) -> Self {
        Self { labels: classifier.labels().to_vec(), problem_type: classifier.config().problem_type, with_none }
    }

    /// The class of texts of no label, if there is one. A text of a multi-label model has no class then.
    pub(crate) fn no_label(&self) -> Option<usize> {
        let has_class = self.with_none && self.problem_type == ProblemType::SingleLabel;
        has_class.then_some(self.labels.len())
    }

    /// The names of all classes.
    pub(crate) fn classes(&self) -> Vec<Arc<str>> {
        self.labels.iter().cloned().chain(self.no_label().map(|_| NO_LABEL.into())).collect()
    }

    /// For each row its classes, of a single-label model one; `None` if the row is to be left out.
    pub(crate) fn read(&self, column: &ArrayRef, name: &str, rows_before: usize) -> Result<Vec<Option<Vec<usize>>>> {
        let rows = if self.problem_type == ProblemType::MultiLabel && !column.data_type().is_integer() {
            self.sets(column, name)?
        } else {
            let classes = self.items(column, name)?;
            classes.into_iter().map(|class| Some(class?.map(Vec::from_iter))).collect()
        };
        let missing = || self.with_none.then(|| Vec::from_iter(self.no_label()));
        let row = |(row, classes): (usize, Option<Classes>)| match classes {
            None => Ok(missing()),
            Some(Ok(classes)) => Ok(Some(classes)),
            Some(Err(label)) => Err(AnalysisError::Refused(format!(
                "row {} has the label '{label}', which the model does not know: it has {}",
                rows_before + row + 1,
                self.labels.join(", ")
            ))),
        };
        rows.into_iter().enumerate().map(row).collect()
    }

    /// The labels of each row, in a list or a text.
    fn sets(&self, column: &ArrayRef, name: &str) -> Result<Vec<Option<Classes>>> {
        let lists = match column.data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                cast(column, &DataType::List(Arc::clone(item)))?
            }
            _ => return self.sets_in_texts(column, name),
        };
        let classes = |list: ArrayRef| -> Result<_> {
            Ok(self.items(&list, name)?.into_iter().flatten().filter_map(Result::transpose).collect())
        };
        lists.as_list::<i32>().iter().map(|list| list.map(classes).transpose()).collect()
    }

    fn sets_in_texts(&self, column: &ArrayRef, name: &str) -> Result<Vec<Option<Classes>>> {
        let texts = strings(column, name)?;
        let classes = |text| names(text).iter().map(|name| self.class(name)).filter_map(Result::transpose).collect();
        Ok(texts.iter().map(|text| text.map(classes)).collect())
    }

    /// The class of each label of a column, which stands there by name or as its id, perhaps as a float; `None` for NULL.
    fn items(&self, column: &ArrayRef, name: &str) -> Result<Vec<Option<Class>>> {
        if column.data_type().is_integer() {
            let ids = cast(column, &DataType::Int64)?;
            let ids = ids.as_primitive::<Int64Type>().iter();
            return Ok(ids.map(|id| id.map(|id| self.class_of_id(id))).collect());
        }
        let labels = if column.data_type().is_floating() { cast(column, &DataType::Utf8)? } else { Arc::clone(column) };
        let labels = strings(&labels, name)?;
        Ok(labels.iter().map(|label| label.map(|label| self.class(label))).collect())
    }

    /// The class of a label in a text: its name, or its id where no label has that name. Blanks around it do not count,
    /// nor do capitals, if no other label differs by them alone.
    fn class(&self, written: &str) -> Class {
        let label = written.trim();
        let lower = label.to_lowercase();
        if let Some(id) = self.labels.iter().position(|known| **known == *label) {
            return Ok(Some(id));
        }
        let mut alike = self.labels.iter().enumerate().filter(|(_, known)| known.to_lowercase() == lower);
        if let (Some((id, _)), None) = (alike.next(), alike.next()) {
            return Ok(Some(id));
        }
        if self.with_none && NAMES_OF_NO_LABEL.contains(&&*lower) {
            return Ok(self.no_label());
        }
        // Columns of ids with missing values are often floats.
        let id = label.strip_suffix(".0").unwrap_or(label).parse();
        id.map_or_else(|_| Err(written.into()), |id| self.class_of_id(id))
    }

    fn class_of_id(&self, id: i64) -> Class {
        let known = usize::try_from(id).ok().filter(|id| *id < self.labels.len());
        known.map(Some).ok_or_else(|| id.to_string())
    }
}

/// The labels in a text, names or ids: a JSON array, such as `emotion label` writes, or values separated by commas.
/// A null in an array is no label, as in a list.
fn names(text: &str) -> Vec<String> {
    if let Ok(values) = serde_json::from_str::<Vec<Value>>(text) {
        return values.into_iter().filter(|value| !value.is_null()).map(name).collect();
    }
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect()
}

fn name(value: Value) -> String {
    match value {
        Value::String(name) => name,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Float64Array, Int32Array, ListArray, StringArray};
    use arrow::datatypes::Int32Type;

    use super::*;

    fn gold(problem_type: ProblemType, with_none: bool) -> Gold {
        Gold { labels: ["a", "b", "c"].map(Arc::from).to_vec(), problem_type, with_none }
    }

    fn read(gold: &Gold, column: impl Array + 'static) -> Vec<Option<Vec<usize>>> {
        gold.read(&(Arc::new(column) as ArrayRef), "labels", 0).unwrap()
    }

    #[test]
    fn a_label_is_a_name_or_an_id() {
        let gold = gold(ProblemType::SingleLabel, false);
        let expected = [Some(vec![1]), None, Some(vec![0])];
        assert_eq!(read(&gold, StringArray::from(vec![Some("b"), None, Some("a")])), expected);
        assert_eq!(read(&gold, Int32Array::from(vec![Some(1), None, Some(0)])), expected);
    }

    #[test]
    fn blanks_and_capitals_do_not_count() {
        let alike = gold(ProblemType::SingleLabel, true);
        let column = StringArray::from(vec![" A ", "B", "Neutral ", "  "]);
        assert_eq!(read(&alike, column), [Some(vec![0]), Some(vec![1]), Some(vec![3]), Some(vec![3])]);
        let distinct = Gold { labels: ["A", "a", "c"].map(Arc::from).to_vec(), ..alike };
        assert_eq!(
            read(&distinct, StringArray::from(vec!["a", "A", "C"])),
            [Some(vec![1]), Some(vec![0]), Some(vec![2])]
        );
    }

    #[test]
    fn texts_of_no_label_are_a_class_of_a_single_label_model() {
        let column = StringArray::from(vec![Some("neutral"), None, Some(""), Some("none"), Some("c")]);
        let expected = [Some(vec![3]), Some(vec![3]), Some(vec![3]), Some(vec![3]), Some(vec![2])];
        assert_eq!(read(&gold(ProblemType::SingleLabel, true), column), expected);
    }

    #[test]
    fn several_labels_are_a_list_or_a_text() {
        let gold = gold(ProblemType::MultiLabel, false);
        let texts = StringArray::from(vec![Some("b, a"), Some(""), None, Some(r#"["c","a"]"#)]);
        assert_eq!(read(&gold, texts), [Some(vec![1, 0]), Some(vec![]), None, Some(vec![2, 0])]);
        let lists = vec![Some(vec![Some(1), Some(0)]), Some(vec![]), None];
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
        assert_eq!(read(&gold, lists), [Some(vec![1, 0]), Some(vec![]), None]);
        assert_eq!(read(&gold, Int32Array::from(vec![2])), [Some(vec![2])]);
    }

    #[test]
    fn a_text_may_hold_ids() {
        let several = gold(ProblemType::MultiLabel, false);
        let texts = StringArray::from(vec!["[0, 2]", "2,1", r#"["1", "a", null]"#, "[]"]);
        let expected = [Some(vec![0, 2]), Some(vec![2, 1]), Some(vec![1, 0]), Some(vec![])];
        assert_eq!(read(&several, texts), expected);
        let column: ArrayRef = Arc::new(StringArray::from(vec!["[0, 3]"]));
        let error = several.read(&column, "labels", 0).unwrap_err();
        assert!(error.to_string().contains("row 1 has the label '3'"), "{error}");
        let one = gold(ProblemType::SingleLabel, false);
        assert_eq!(read(&one, StringArray::from(vec!["2"])), [Some(vec![2])]);
        assert_eq!(read(&one, StringArray::from(vec!["2.0", " 1 "])), [Some(vec![2]), Some(vec![1])]);
        assert_eq!(read(&one, Float64Array::from(vec![Some(2.0), None])), [Some(vec![2]), None]);
        let named = Gold { labels: ["1", "0"].map(Arc::from).to_vec(), ..one };
        assert_eq!(read(&named, StringArray::from(vec!["1", "0"])), [Some(vec![0]), Some(vec![1])]);
    }

    #[test]
    fn a_text_of_a_multi_label_model_may_have_none() {
        let column = StringArray::from(vec![Some("neutral"), None, Some("a,neutral")]);
        let expected = [Some(vec![]), Some(vec![]), Some(vec![0])];
        assert_eq!(read(&gold(ProblemType::MultiLabel, true), column), expected);
    }

    #[test]
    fn a_label_that_the_model_lacks_is_an_error_of_its_row() {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["a", "a,d"]));
        let error = gold(ProblemType::MultiLabel, false).read(&column, "labels", 10).unwrap_err();
        assert_eq!(error.to_string(), "row 12 has the label 'd', which the model does not know: it has a, b, c");
    }
}
