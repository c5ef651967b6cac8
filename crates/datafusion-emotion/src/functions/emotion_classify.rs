use std::sync::Arc;

use datafusion_macros::user_doc;

use super::text_function::{Takes, TextFunction};
use crate::annotation::Output;
use crate::model::Model;
use crate::shared::Shared;

/// `emotion_classify(text [, model]) -> Utf8`: the most probable label of each text.
#[user_doc(
    doc_section(label = "Emotion Functions"),
    description = "Returns the emotion that a text expresses: of the model's labels the most probable one. \
                   The built-in model knows sadness, joy, love, anger, fear and surprise. NULL if the probability of \
                   that label is below emotion.threshold.",
    syntax_example = "emotion_classify(text [, model])",
    sql_example = r#"```sql
> SELECT emotion_classify('I like you.');
+--------------------------------------+
| emotion_classify(Utf8("I like you.")) |
+--------------------------------------+
| love                                 |
+--------------------------------------+
```"#,
    argument(name = "text", description = "A string: the text to classify. NULL gives NULL."),
    argument(
        name = "model",
        description = "Name of a model made by CREATE FUNCTION, instead of the one in emotion.model."
    )
)]
struct EmotionClassify;

pub(crate) fn function(shared: &Arc<Shared>, model: &Arc<Model>) -> TextFunction {
    let documentation = EmotionClassify.doc().cloned();
    TextFunction::new("emotion_classify", Takes::Model(Output::Label), documentation, shared, model)
}
