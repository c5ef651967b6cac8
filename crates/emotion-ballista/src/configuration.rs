//! The configuration of sessions on servers.

use ballista_core::extension::SessionConfigExt;
use datafusion::prelude::SessionConfig;
use datafusion_emotion::EmotionOptions;

/// A configuration that accepts the options of the session that sends a query.
pub(crate) fn session_config() -> SessionConfig {
    SessionConfig::new_with_ballista().with_information_schema(true).with_option_extension(EmotionOptions::default())
}
