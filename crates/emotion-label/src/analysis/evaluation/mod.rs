//! How well a model does on texts whose labels are known.

mod evaluator;
mod facts;
mod gold;
mod html;
mod metrics;

pub use evaluator::Evaluator;
pub use facts::{Evaluation, LabelFacts, ModelFacts};
