use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::exec_datafusion_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::annotation::{Output, Writer, label_list, predictions};
use crate::model::Model;
use crate::options::EmotionOptions;

/// The labels that hold, from an annotation of the same model; what a planner rule makes of `emotion_labels(text)`.
///
/// An annotation has no list of labels, because its type is that of `emotion_annotate(text)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct LabelsOfAnnotation {
    model: Arc<Model>,
    signature: Signature,
}

impl LabelsOfAnnotation {
    pub(crate) const NAME: &str = "emotion_labels_of_annotation";

    pub(crate) fn new(model: Arc<Model>) -> Self {
        Self { model, signature: Signature::any(1, Volatility::Immutable) }
    }

    #[cfg(feature = "proto")]
    pub(crate) fn model(&self) -> &Model {
        &self.model
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
        let classifier = self.model.classifier()?;
        let annotations = annotations.as_struct_opt().and_then(|annotations| predictions(annotations, &classifier));
        let predictions = annotations.ok_or_else(|| exec_datafusion_err!("an annotation is of another model"))?;
        let rows: Vec<_> = predictions.iter().map(Option::as_ref).collect();
        let threshold = EmotionOptions::of(&args.config_options).and_then(|options| options.threshold);
        Ok(ColumnarValue::Array(Writer::new(classifier, threshold).write(Output::Labels, &rows)?))
    }
}
