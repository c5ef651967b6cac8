//! The keys of `config.json` that a single architecture has.

use serde::de::DeserializeOwned;

use crate::config::Config;
use crate::error::{Error, Result};

/// The most positions of a model whose position tables are computed, not read.
const MOST_POSITIONS: usize = 1 << 17;

/// The largest size of a layer, which networks multiply.
const MOST_VALUES: usize = 1 << 24;

/// Parses the keys, and passes them to `check`, whose error says what is not supported.
pub(super) fn read<S: DeserializeOwned, T>(
    origin: &str,
    config: &Config,
    json: &[u8],
    check: impl FnOnce(S) -> Result<T, String>,
) -> Result<T> {
    let settings = serde_json::from_slice(json).map_err(|e| format!("not a model configuration: {e}"));
    let checked = settings.and_then(|settings| {
        for (key, size, most) in [
            ("max_position_embeddings", config.max_position_embeddings, MOST_POSITIONS),
            ("hidden_size", config.hidden_size, MOST_VALUES),
            ("intermediate_size", config.intermediate_size, MOST_VALUES),
        ] {
            if size > most {
                return Err(format!("{key} is {size}: at most {most} is supported"));
            }
        }
        check(settings)
    });
    checked.map_err(|reason| Error::Config { origin: origin.into(), reason })
}
