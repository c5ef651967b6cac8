//! Model architectures: each maps its tensors onto a [`Layout`], which every backend can read.

mod distilbert;
pub(crate) mod layout;

use crate::architectures::layout::Layout;
use crate::config::Config;

/// The layout of the model that `config` describes.
pub(crate) fn layout_of(config: &Config) -> Layout {
    distilbert::layout(config)
}
