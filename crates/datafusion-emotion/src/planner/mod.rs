//! Planning: each text inferred once, and none that the query does not need.
//!
//! [`ExtractInference`](extract_inference::ExtractInference) takes calls of the functions out of expressions and into an
//! [`InferenceNode`](inference_node::InferenceNode) below them, which adds a column with all that the model says; the calls become
//! fields of that column. So whatever DataFusion does with the expressions, the model runs in one
//! place, and everything that may run before it does. [`InferencePlanner`](query_planner::InferencePlanner) turns the node into an
//! [`InferenceExec`](inference_exec::InferenceExec).

mod defer;
pub(crate) mod extract_inference;
pub(crate) mod inference_exec;
pub(crate) mod inference_node;
pub(crate) mod query_planner;
mod rewrite;
