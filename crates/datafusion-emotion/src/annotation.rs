//! Predictions as Arrow arrays, and the types of these.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int32Array, ListBuilder, StringArray, StringBuilder, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::error::Result;
use emotion_classifier::{Classifier, Prediction, ProblemType};

/// What a row gets of its prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    /// The most probable label; NULL if not even that one holds.
    Label,
    /// All labels that hold, as a list.
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
    label_nullable: bool,
}

impl Writer {
    /// `label_nullable` is what the plan says of labels: see [`is_nullable`]. Where they cannot be NULL, as in a view
    /// that was made before a threshold was set, every label holds.
    pub(crate) fn new(classifier: Arc<Classifier>, threshold: Option<f32>, label_nullable: bool) -> Self {
        let threshold = threshold.filter(|_| is_nullable(Output::Label, &classifier, label_nullable));
        Self { classifier, threshold, label_nullable }
    }

    /// The column of each row's result, NULL where there is no prediction.
    pub(crate) fn write(&self, output: Output, rows: &[Option<&Prediction>]) -> Result<ArrayRef> {
        Ok(match output {
            Output::Label => Arc::new(self.labels(rows)),
            Output::Labels => Arc::new(self.label_lists(rows)),
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

    fn label_lists(&self, rows: &[Option<&Prediction>]) -> arrow::array::ListArray {
        let mut lists = ListBuilder::new(StringBuilder::new());
        for row in rows {
            let labels = row.map(|prediction| self.classifier.held_labels(prediction, self.threshold));
            let labels = labels.map(|labels| labels.map(|label| Some(label.to_string())));
            lists.append_option(labels);
        }
        lists.finish()
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
        Ok(StructArray::try_new(
            annotation_fields(&self.classifier, self.label_nullable),
            columns,
            Some(validity(rows)),
        )?)
    }
}

fn floats(rows: &[Option<&Prediction>], value: impl Fn(&Prediction) -> f32) -> Float32Array {
    rows.iter().map(|row| row.map(&value)).collect()
}

fn validity(rows: &[Option<&Prediction>]) -> NullBuffer {
    rows.iter().map(Option::is_some).collect()
}

/// The type of an output, which depends on the model's labels, and on whether these may be NULL.
pub(crate) fn data_type(output: Output, classifier: &Classifier, label_nullable: bool) -> DataType {
    match output {
        Output::Label => DataType::Utf8,
        Output::Labels => DataType::new_list(DataType::Utf8, true),
        Output::Score | Output::ScoreOf(_) => DataType::Float32,
        Output::Scores => DataType::Struct(score_fields(classifier)),
        Output::Annotation => DataType::Struct(annotation_fields(classifier, label_nullable)),
    }
}

/// Whether an output can be NULL although there is a text.
///
/// `label_nullable` says whether a threshold can leave a text without a label where the model has one for each.
pub(crate) fn is_nullable(output: Output, classifier: &Classifier, label_nullable: bool) -> bool {
    output == Output::Label && (label_nullable || classifier.config().problem_type == ProblemType::MultiLabel)
}

/// Whether the label in a column of annotations can be NULL although there is a text.
pub(crate) fn label_is_nullable(annotation: &DataType) -> bool {
    match annotation {
        DataType::Struct(fields) => fields.find(LABEL).is_none_or(|(_, label)| label.is_nullable()),
        _ => true,
    }
}

fn score_fields(classifier: &Classifier) -> Fields {
    classifier.labels().iter().map(|label| Field::new(&**label, DataType::Float32, false)).collect()
}

fn annotation_fields(classifier: &Classifier, label_nullable: bool) -> Fields {
    Fields::from(vec![
        Field::new(LABEL, DataType::Utf8, is_nullable(Output::Label, classifier, label_nullable)),
        Field::new("score", DataType::Float32, false),
        Field::new("scores", DataType::Struct(score_fields(classifier)), false),
        Field::new("tokens", DataType::Int32, false),
        Field::new("truncated", DataType::Boolean, false),
    ])
}
