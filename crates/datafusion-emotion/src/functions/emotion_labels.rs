use std::sync::Arc;

use datafusion_macros::user_doc;

use super::text_function::{Takes, TextFunction};
use crate::annotation::Output;
use crate::model::Model;
use crate::shared::Shared;

/// `emotion_labels(text [, model]) -> List(Utf8)`: the labels of each text that hold.
#[user_doc(
    doc_section(label = "Emotion Functions"),
    description = "Returns the labels of a text whose probability is at least emotion.threshold, the most probable \
                   first, as a list of strings. The list is empty if there are none. Of a single-label model it has \
                   at most one label, the one that emotion_classify(text) returns.",
    syntax_example = "emotion_labels(text [, model])",
    sql_example = r"```sql
> SELECT emotion_labels('I like you.') AS labels;
+--------+
| labels |
+--------+
| [love] |
+--------+
```",
    argument(name = "text", description = "A string: the text to classify. NULL gives NULL."),
    argument(
        name = "model",
        description = "Name of a model made by CREATE FUNCTION, instead of the one in emotion.model."
    )
)]
struct EmotionLabels;

pub(crate) fn function(shared: &Arc<Shared>, model: &Arc<Model>) -> TextFunction {
    let documentation = EmotionLabels.doc().cloned();
    TextFunction::new("emotion_labels", Takes::Model(Output::Labels), documentation, shared, model)
}
