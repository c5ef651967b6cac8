use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
};
use datafusion_macros::user_doc;
use distilbert::Prediction;

use super::{infer, return_field, signature};
use crate::model::Model;

const NAME: &str = "emotion_scores";

/// `emotion_scores(text) -> Struct`: the probability of every label of each text.
#[user_doc(
    doc_section(label = "Emotion Functions"),
    description = "Returns a struct with the probability of each emotion in a text: a Float32 field for each of \
                   the model's labels. Take one out with emotion_scores(text)['joy'].",
    syntax_example = "emotion_scores(text)",
    sql_example = r"```sql
> SELECT round(emotion_scores('I like you.')['anger'], 2) AS anger;
+-------+
| anger |
+-------+
| 0.01  |
+-------+
```",
    argument(name = "text", description = "A string: the text to classify. NULL gives NULL.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct EmotionScores {
    signature: Signature,
    model: Model,
}

impl EmotionScores {
    pub(crate) fn new(model: Model) -> Self {
        Self { signature: signature(), model }
    }

    /// A field a label. Nullable, so that a field taken out of a NULL struct is NULL.
    fn fields(&self) -> Result<Fields> {
        let classifier = self.model.classifier()?;
        let labels = classifier.labels().iter();
        Ok(labels.map(|label| Field::new(&**label, DataType::Float32, true)).collect())
    }
}

impl ScalarUDFImpl for EmotionScores {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(self.fields()?))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        return_field(NAME, &args, DataType::Struct(self.fields()?))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let fields = self.fields()?;
        infer(NAME, &self.model, args.args, |rows| Ok(Arc::new(scores(fields, rows)?)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}

fn scores(fields: Fields, rows: &[Option<&Prediction>]) -> Result<StructArray> {
    let column = |label_id: usize| -> ArrayRef {
        let values = rows.iter().map(|row| row.map(|prediction| prediction.probabilities[label_id]));
        Arc::new(values.collect::<Float32Array>())
    };
    let columns = (0..fields.len()).map(column).collect();
    let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
    Ok(StructArray::try_new(fields, columns, Some(nulls))?)
}
