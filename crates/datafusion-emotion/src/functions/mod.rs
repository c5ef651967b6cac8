//! One file a function; what the functions of texts share is in `text_function`.

pub(crate) mod emotion_annotate;
pub(crate) mod emotion_classify;
pub(crate) mod emotion_models;
pub(crate) mod emotion_score;
pub(crate) mod emotion_scores;
pub(crate) mod emotion_stats;
pub(crate) mod emotion_stats_reset;
pub(crate) mod text_function;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

use crate::model::Model;
use crate::session::Session;

/// Every scalar function of this crate; those that may name a model use `model` if they don't.
pub(crate) fn scalar_udfs(session: &Arc<Session>, model: &Arc<Model>) -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(emotion_classify::udf(session, model)),
        Arc::new(emotion_score::udf(session, model)),
        Arc::new(emotion_scores::udf(session, model)),
        Arc::new(emotion_annotate::udf(session, model)),
        Arc::new(emotion_stats_reset::EmotionStatsReset::new(session).into()),
    ]
}
