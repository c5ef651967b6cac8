use std::sync::Arc;

use datafusion_macros::user_doc;

use super::text_function::{Takes, TextFunction};
use crate::annotation::Output;
use crate::model::Model;
use crate::shared::Shared;

pub(crate) const NAME: &str = "emotion_annotate";

/// `emotion_annotate(text [, model]) -> Struct`: all that the model says of each text.
#[user_doc(
    doc_section(label = "Emotion Functions"),
    description = "Returns a struct with all that the model says of a text: label (as emotion_classify), score (as \
                   emotion_score), scores (as emotion_scores), tokens that the model saw, and whether the text was \
                   truncated because it had more.",
    syntax_example = "emotion_annotate(text [, model])",
    sql_example = r"```sql
> SELECT emotion_annotate('I like you.')['tokens'] AS tokens;
+--------+
| tokens |
+--------+
| 6      |
+--------+
```",
    argument(name = "text", description = "A string: the text to classify. NULL gives NULL."),
    argument(
        name = "model",
        description = "Name of a model made by CREATE FUNCTION, instead of the one in emotion.model."
    )
)]
struct EmotionAnnotate;

pub(crate) fn function(shared: &Arc<Shared>, model: &Arc<Model>) -> TextFunction {
    let documentation = EmotionAnnotate.doc().cloned();
    TextFunction::new(NAME, Takes::Model(Output::Annotation), documentation, shared, model)
}
