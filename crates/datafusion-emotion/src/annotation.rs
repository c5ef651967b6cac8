//! Predictions as Arrow arrays and back, and the types of these.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float32Array, Int32Array, ListArray, ListBuilder, StringArray,
    StringBuilder, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Float32Type, Int32Type};
use datafusion::error::Result;
use emotion_classifier::{Classifier, Prediction, ProblemType};

/// What a row gets of its prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    /// The most probable label; NULL if not even that one holds.
    Label,
    /// All labels that hold, the most probable first, as a list.
    Labels,
    /// The most probable label's probability.
    Score,
    /// The probability of the label with this id.
    ScoreOf(usize),
    /// A struct of the probabilities of all labels.
    Scores,
    /// A struct of label, score, scores, tokens and truncated.
    Annotation,
}

/// The field of an annotation that holds the label.
const LABEL: &str = "label";

/// How the predictions of one model are written.
pub(crate) struct Writer {
    classifier: Arc<Classifier>,
    threshold: Option<f32>,
}

impl Writer {
    pub(crate) fn new(classifier: Arc<Classifier>, threshold: Option<f32>) -> Self {
        Self { classifier, threshold }
    }

    /// The column of each row's result, NULL where there is no prediction.
    pub(crate) fn write(&self, output: Output, rows: &[Option<&Prediction>]) -> Result<ArrayRef> {
        Ok(match output {
            Output::Label => Arc::new(self.labels(rows)),
            Output::Labels => {
                let config = self.classifier.config();
                Arc::new(label_lists(config.problem_type, &config.labels, self.threshold, rows))
            }
            Output::Score => Arc::new(floats(rows, |prediction| prediction.score)),
            Output::ScoreOf(label_id) => Arc::new(floats(rows, |prediction| prediction.probabilities[label_id])),
            Output::Scores => Arc::new(self.scores(rows)?),
            Output::Annotation => Arc::new(self.annotations(rows)?),
        })
    }

    fn labels(&self, rows: &[Option<&Prediction>]) -> StringArray {
        let label = |prediction| self.classifier.held_label(prediction, self.threshold).map(|label| &**label);
        rows.iter().map(|row| row.and_then(label)).collect()
    }

    fn scores(&self, rows: &[Option<&Prediction>]) -> Result<StructArray> {
        let fields = score_fields(&self.classifier);
        let column = |id: usize| -> ArrayRef { Arc::new(floats(rows, |prediction| prediction.probabilities[id])) };
        let columns = (0..fields.len()).map(column).collect();
        Ok(StructArray::try_new(fields, columns, Some(validity(rows)))?)
    }

    fn annotations(&self, rows: &[Option<&Prediction>]) -> Result<StructArray> {
        let tokens = |prediction: &Prediction| i32::try_from(prediction.tokens).unwrap_or(i32::MAX);
        let tokens: Int32Array = rows.iter().map(|row| row.map(tokens)).collect();
        let truncated: BooleanArray = rows.iter().map(|row| row.map(|prediction| prediction.truncated)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.labels(rows)),
            Arc::new(floats(rows, |prediction| prediction.score)),
            Arc::new(self.scores(rows)?),
            Arc::new(tokens),
            Arc::new(truncated),
        ];
        Ok(StructArray::try_new(annotation_fields(&self.classifier), columns, Some(validity(rows)))?)
    }
}

/// The labels that hold for each row, the most probable first, as lists; NULL where there is no prediction.
pub(crate) fn label_lists(
    problem_type: ProblemType,
    labels: &[Arc<str>],
    threshold: Option<f32>,
    rows: &[Option<&Prediction>],
) -> ListArray {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        let ids = row.map(|prediction| problem_type.held_ids(prediction, threshold));
        lists.append_option(ids.map(|ids| ids.into_iter().map(|id| Some(labels[id].to_string()))));
    }
    lists.finish()
}

/// What a column of annotations holds.
pub(crate) struct Annotations {
    /// The labels of the model, in the order of their ids.
    pub labels: Vec<Arc<str>>,
    pub predictions: Vec<Option<Prediction>>,
}

/// Reads a column of annotations; `None` if it is none.
pub(crate) fn read(annotations: &StructArray) -> Option<Annotations> {
    let names = annotations.column_by_name(LABEL)?.as_string_opt::<i32>()?;
    let tokens = annotations.column_by_name("tokens")?.as_primitive_opt::<Int32Type>()?;
    let truncated = annotations.column_by_name("truncated")?.as_boolean_opt()?;
    let scores = annotations.column_by_name("scores")?.as_struct_opt()?;
    let labels: Vec<Arc<str>> = scores.column_names().into_iter().map(Arc::from).collect();
    let scores: Vec<_> =
        scores.columns().iter().map(|scores| scores.as_primitive_opt::<Float32Type>()).collect::<Option<_>>()?;
    let prediction = |row: usize| {
        let probabilities: Vec<f32> = scores.iter().map(|scores| scores.value(row)).collect();
        let (tokens, truncated) = (usize::try_from(tokens.value(row)).ok()?, truncated.value(row));
        if names.is_null(row) {
            return Some(Prediction::from_probabilities(&labels, probabilities, tokens, truncated));
        }
        let label_id = labels.iter().position(|label| **label == *names.value(row))?;
        Some(Prediction::with_label(&labels, label_id, probabilities, tokens, truncated))
    };
    let prediction = |row| if annotations.is_null(row) { Some(None) } else { prediction(row).map(Some) };
    let predictions = (0..annotations.len()).map(prediction).collect::<Option<_>>()?;
    Some(Annotations { labels, predictions })
}

fn floats(rows: &[Option<&Prediction>], value: impl Fn(&Prediction) -> f32) -> Float32Array {
    rows.iter().map(|row| row.map(&value)).collect()
}

fn validity(rows: &[Option<&Prediction>]) -> NullBuffer {
    rows.iter().map(Option::is_some).collect()
}

/// The type of an output, which depends on the model's labels.
pub(crate) fn data_type(output: Output, classifier: &Classifier) -> DataType {
    match output {
        Output::Label => DataType::Utf8,
        Output::Labels => label_list(),
        Output::Score | Output::ScoreOf(_) => DataType::Float32,
        Output::Scores => DataType::Struct(score_fields(classifier)),
        Output::Annotation => DataType::Struct(annotation_fields(classifier)),
    }
}

/// The type of a list of labels.
pub(crate) fn label_list() -> DataType {
    DataType::new_list(DataType::Utf8, true)
}

/// Whether an output can be NULL although there is a text: a label, because the threshold is that of the execution, which
/// may be another than that of the planning.
pub(crate) fn is_nullable(output: Output) -> bool {
    output == Output::Label
}

fn score_fields(classifier: &Classifier) -> Fields {
    classifier.labels().iter().map(|label| Field::new(&**label, DataType::Float32, false)).collect()
}

fn annotation_fields(classifier: &Classifier) -> Fields {
    Fields::from(vec![
        Field::new(LABEL, DataType::Utf8, is_nullable(Output::Label)),
        Field::new("score", DataType::Float32, false),
        Field::new("scores", DataType::Struct(score_fields(classifier)), false),
        Field::new("tokens", DataType::Int32, false),
        Field::new("truncated", DataType::Boolean, false),
    ])
}
