//! Planning: each text inferred once, and none that the query does not need.
//!
//! [`ExtractInference`] takes calls of the functions out of expressions and into an
//! [`InferenceNode`] below them, which adds a column with all that the model says; the calls become
//! fields of that column. So whatever DataFusion does with the expressions, the model runs in one
//! place, and everything that may run before it does. [`InferencePlanner`] turns the node into an
//! [`InferenceExec`].

mod defer;
mod extract_inference;
mod inference_exec;
mod inference_node;
mod query_planner;

pub(crate) use extract_inference::ExtractInference;
pub(crate) use inference_exec::InferenceExec;
pub use inference_exec::annotated;
pub(crate) use inference_node::InferenceNode;
pub(crate) use query_planner::EmotionQueryPlanner;
pub use query_planner::InferencePlanner;
