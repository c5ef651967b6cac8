use std::sync::Arc;

use crate::model::Models;
use crate::options::EmotionOptions;
use crate::usage::Usage;

/// The state that the functions of one session share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub models: Models,
    pub usage: Arc<Usage>,
    /// The options of functions that carry their own, for an engine whose configuration holds none.
    pub options: Option<EmotionOptions>,
}
