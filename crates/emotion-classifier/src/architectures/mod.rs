//! Model architectures: each maps its tensors onto a [`Layout`], which every backend can read.

mod distilbert;
mod layout;

use crate::config::Config;
pub(crate) use layout::{Dense, Layer, Layout, Norm, Table};

/// The layout of the model that `config` describes.
pub(crate) fn layout(config: &Config) -> Layout {
    distilbert::layout(config)
}
