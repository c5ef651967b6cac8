//! Model architectures: each maps its tensors onto a [`Layout`], which every backend can read.

mod bert;
mod distilbert;
mod early_names;
mod electra;
pub(crate) mod layout;
mod roberta;

use crate::architectures::layout::Layout;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model_type::ModelType;

/// The layout of the model that `config` describes, whose weights have the tensors for which `contains` is true.
///
/// # Errors
///
/// [`Error::Backend`] if the model is not of the BERT family, which layouts describe.
pub(crate) fn layout_of(config: &Config, contains: impl Fn(&str) -> bool) -> Result<Layout> {
    let mut layout = match config.model_type {
        ModelType::DistilBert => distilbert::layout(config),
        ModelType::Bert => bert::layout(config),
        ModelType::Roberta | ModelType::XlmRoberta | ModelType::Camembert => roberta::layout(config),
        ModelType::Electra => electra::layout(config),
        other @ (ModelType::ModernBert | ModelType::DebertaV2) => {
            return Err(Error::Backend { backend: "packed", reason: format!("does not know {other}") });
        }
    };
    early_names::apply(&mut layout, contains);
    Ok(layout)
}
