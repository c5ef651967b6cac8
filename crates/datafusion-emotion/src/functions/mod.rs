//! One file a function; what the functions of texts share is in `text_function`.

pub(crate) mod emotion_annotate;
pub(crate) mod emotion_classify;
pub(crate) mod emotion_labels;
pub(crate) mod emotion_models;
pub(crate) mod emotion_score;
pub(crate) mod emotion_scores;
pub(crate) mod emotion_stats;
pub(crate) mod emotion_stats_reset;
pub(crate) mod labels_of_annotation;
pub(crate) mod text_function;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

use crate::annotation::Output;
use crate::error::Error;
use crate::model::Model;
use crate::options::EmotionOptions;
use crate::shared::Shared;
use text_function::{Takes, TextFunction};

/// Every scalar function of this crate; those that may name a model use `model` if they don't.
pub(crate) fn scalar_udfs(shared: &Arc<Shared>, model: &Arc<Model>) -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(emotion_classify::function(shared, model).into()),
        Arc::new(emotion_labels::function(shared, model).into()),
        Arc::new(emotion_score::function(shared, model).into()),
        Arc::new(emotion_scores::function(shared, model).into()),
        Arc::new(emotion_annotate::function(shared, model).into()),
        Arc::new(emotion_stats_reset::EmotionStatsReset::new(shared).into()),
    ]
}

/// The functions of one model, with options that are theirs.
///
/// They are for an engine whose sessions hold no options of this crate, such as one that takes
/// functions over a foreign function interface: whatever they need to know, they carry.
///
/// | function | result |
/// |---|---|
/// | `{prefix}_classify(text)` | the most probable label, as `Utf8` |
/// | `{prefix}_score(text [, label])` | that label's probability, as `Float32` |
/// | `{prefix}_scores(text)` | a struct with the probability of every label |
/// | `{prefix}_annotate(text)` | a struct of label, score, scores, tokens and truncated |
/// | `{prefix}_labels(text)` | the labels that hold, the most probable first, as a list |
///
/// ```
/// # #[cfg(feature = "default-model")]
/// # fn main() -> Result<(), datafusion_emotion::Error> {
/// use datafusion_emotion::emotion_classifier::Precision;
/// use datafusion_emotion::{EmotionOptions, functions_of};
///
/// let mut options = EmotionOptions::default();
/// options.precision = Precision::Int8;
/// let functions = functions_of("emotion", options)?;
/// assert_eq!(functions[0].name(), "emotion_classify");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "default-model"))]
/// # fn main() {}
/// ```
///
/// # Errors
///
/// [`Error::Option`] if the model that the options name cannot be loaded, [`Error::NoBuiltInModel`] if they
/// name none and none is built in, and [`Error::Model`] if the built-in one cannot be loaded or does not compute
/// with the backend, on the device or in the precision of the options.
pub fn functions_of(prefix: &str, options: EmotionOptions) -> Result<Vec<Arc<ScalarUDF>>, Error> {
    let shared = Shared::default();
    let model = shared.models.resolve(&options);
    model.computing(options.compute())?;
    let outputs = [
        ("classify", Output::Label),
        ("score", Output::Score),
        ("scores", Output::Scores),
        ("annotate", Output::Annotation),
        ("labels", Output::Labels),
    ];
    let shared = Arc::new(Shared { options: Some(options), ..shared });
    let function =
        |(verb, output)| TextFunction::new(format!("{prefix}_{verb}"), Takes::Fixed(output), None, &shared, &model);
    Ok(outputs.into_iter().map(|output| Arc::new(function(output).into())).collect())
}
