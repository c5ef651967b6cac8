use std::sync::Arc;

use datafusion_macros::user_doc;

use super::text_function::{Takes, TextFunction};
use crate::model::Model;
use crate::shared::Shared;

/// `emotion_score(text [, label] [, model]) -> Float32`: the probability of a label of each text.
#[user_doc(
    doc_section(label = "Emotion Functions"),
    description = "Returns a probability: of the emotion that emotion_classify(text) names, or of the label that is \
                   given. A label that the model does not have is an error, which names the nearest.",
    syntax_example = "emotion_score(text [, label] [, model])",
    sql_example = r"```sql
> SELECT round(emotion_score('Go away!', 'anger'), 2) AS anger;
+-------+
| anger |
+-------+
| 0.98  |
+-------+
```",
    argument(name = "text", description = "A string: the text to classify. NULL gives NULL."),
    argument(
        name = "label",
        description = "One of the model's labels, or a column of them. Without it, the most probable label."
    ),
    argument(
        name = "model",
        description = "Name of a model made by CREATE FUNCTION, instead of the one in emotion.model. As the second \
                       argument it is taken for a label if the model in emotion.model has such a one."
    )
)]
struct EmotionScore;

pub(crate) fn function(shared: &Arc<Shared>, model: &Arc<Model>) -> TextFunction {
    let documentation = EmotionScore.doc().cloned();
    TextFunction::new("emotion_score", Takes::LabelAndModel, documentation, shared, model)
}
