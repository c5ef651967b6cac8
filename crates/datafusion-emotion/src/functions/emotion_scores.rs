use std::sync::Arc;

use datafusion_macros::user_doc;

use super::text_function::{Takes, TextFunction};
use crate::annotation::Output;
use crate::model::Model;
use crate::shared::Shared;

/// `emotion_scores(text [, model]) -> Struct`: the probability of every label of each text.
#[user_doc(
    doc_section(label = "Emotion Functions"),
    description = "Returns a struct with the probability of each emotion in a text: a Float32 field for each of \
                   the model's labels. Take one out with emotion_scores(text)['joy'].",
    syntax_example = "emotion_scores(text [, model])",
    sql_example = r"```sql
> SELECT round(emotion_scores('Go away!')['anger'], 2) AS anger;
+-------+
| anger |
+-------+
| 0.98  |
+-------+
```",
    argument(name = "text", description = "A string: the text to classify. NULL gives NULL."),
    argument(
        name = "model",
        description = "Name of a model made by CREATE FUNCTION, instead of the one in emotion.model."
    )
)]
struct EmotionScores;

pub(crate) fn function(shared: &Arc<Shared>, model: &Arc<Model>) -> TextFunction {
    let documentation = EmotionScores.doc().cloned();
    TextFunction::new("emotion_scores", Takes::Model(Output::Scores), documentation, shared, model)
}
