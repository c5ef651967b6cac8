use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
};
use datafusion_macros::user_doc;

use super::{infer, return_field, signature};
use crate::model::Model;

const NAME: &str = "emotion_classify";

/// `emotion_classify(text) -> Utf8`: the most probable label of each text.
#[user_doc(
    doc_section(label = "Emotion Functions"),
    description = "Returns the emotion that a text expresses: of the model's labels the most probable one. \
                   The built-in model knows sadness, joy, love, anger, fear and surprise.",
    syntax_example = "emotion_classify(text)",
    sql_example = r#"```sql
> SELECT emotion_classify('I like you.');
+--------------------------------------+
| emotion_classify(Utf8("I like you.")) |
+--------------------------------------+
| love                                 |
+--------------------------------------+
```"#,
    argument(name = "text", description = "A string: the text to classify. NULL gives NULL.")
)]
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct EmotionClassify {
    signature: Signature,
    model: Model,
}

impl EmotionClassify {
    pub(crate) fn new(model: Model) -> Self {
        Self { signature: signature(), model }
    }
}

impl ScalarUDFImpl for EmotionClassify {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        return_field(NAME, &args, DataType::Utf8)
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        infer(NAME, &self.model, args.args, |rows| {
            let labels = rows.iter().map(|row| row.map(|prediction| &*prediction.label));
            Ok(Arc::new(labels.collect::<StringArray>()))
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
