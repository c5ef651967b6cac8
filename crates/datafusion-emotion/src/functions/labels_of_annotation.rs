use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use emotion_classifier::ProblemType;

use crate::annotation::{label_list, label_lists, read};
use crate::options::EmotionOptions;

/// The labels that hold, from an annotation; what a planner rule makes of `emotion_labels(text)`.
///
/// An annotation has no list of labels, because its type is that of `emotion_annotate(text)`. It names the labels, so
/// that no model is loaded.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct LabelsOfAnnotation {
    /// That of the model.
    problem_type: ProblemType,
    signature: Signature,
}

impl LabelsOfAnnotation {
    pub(crate) const NAME: &str = "emotion_labels_of_annotation";

    pub(crate) fn new(problem_type: ProblemType) -> Self {
        Self { problem_type, signature: Signature::any(1, Volatility::Immutable) }
    }

    #[cfg(feature = "proto")]
    pub(crate) fn problem_type(&self) -> ProblemType {
        self.problem_type
    }
}

impl ScalarUDFImpl for LabelsOfAnnotation {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(label_list())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(Self::NAME, label_list(), nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [annotations] = args.args.as_slice() else { return Err(exec_datafusion_err!("one annotation is taken")) };
        let annotations = annotations.to_array(args.number_rows)?;
        let annotations = annotations.as_struct_opt().and_then(read);
        let annotations = annotations.ok_or_else(|| exec_datafusion_err!("the argument is not an annotation"))?;
        let rows: Vec<_> = annotations.predictions.iter().map(Option::as_ref).collect();
        let threshold = EmotionOptions::of(&args.config_options).and_then(|options| options.threshold);
        Ok(ColumnarValue::Array(Arc::new(label_lists(self.problem_type, &annotations.labels, threshold, &rows))))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, BooleanArray, Float32Array, Int32Array, StringArray, StructArray};
    use arrow::buffer::NullBuffer;
    use datafusion::config::ConfigOptions;

    use super::*;

    /// Two annotations of a model of the labels `a` and `b`, of which the second is NULL.
    fn annotations() -> StructArray {
        let field = |name: &str, data_type| Arc::new(Field::new(name, data_type, true));
        let score = |value: f32| Arc::new(Float32Array::from(vec![value, 0.0])) as _;
        let scores = vec![(field("a", DataType::Float32), score(0.6)), (field("b", DataType::Float32), score(0.9))];
        let scores = StructArray::from(scores);
        let (fields, columns, _) = StructArray::from(vec![
            (field("label", DataType::Utf8), Arc::new(StringArray::from(vec!["b", ""])) as _),
            (field("score", DataType::Float32), score(0.9)),
            (field("scores", scores.data_type().clone()), Arc::new(scores) as _),
            (field("tokens", DataType::Int32), Arc::new(Int32Array::from(vec![3, 0])) as _),
            (field("truncated", DataType::Boolean), Arc::new(BooleanArray::from(vec![false; 2])) as _),
        ])
        .into_parts();
        StructArray::new(fields, columns, Some(NullBuffer::from(vec![true, false])))
    }

    fn labels(problem_type: ProblemType) -> Vec<Option<Vec<String>>> {
        let annotations = annotations();
        let args = ScalarFunctionArgs {
            arg_fields: vec![Arc::new(Field::new("x", annotations.data_type().clone(), true))],
            number_rows: annotations.len(),
            args: vec![ColumnarValue::Array(Arc::new(annotations))],
            return_field: Arc::new(Field::new("y", label_list(), true)),
            config_options: Arc::new(ConfigOptions::new()),
        };
        let lists = LabelsOfAnnotation::new(problem_type).invoke_with_args(args).unwrap().to_array(2).unwrap();
        let lists = lists.as_list::<i32>();
        let texts = |list: arrow::array::ArrayRef| list.as_string::<i32>().iter().flatten().map(Into::into).collect();
        lists.iter().map(|list| list.map(texts)).collect()
    }

    #[test]
    fn an_annotation_has_all_that_its_labels_need() {
        assert_eq!(labels(ProblemType::SingleLabel), [Some(vec!["b".to_owned()]), None]);
        assert_eq!(labels(ProblemType::MultiLabel), [Some(vec!["b".to_owned(), "a".to_owned()]), None]);
    }
}
