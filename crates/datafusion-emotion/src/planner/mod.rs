//! Planning: the model runs once per distinct text and skips rows that the query does not need.
//!
//! [`ExtractInference`](extract_inference::ExtractInference) moves calls of the functions out of expressions into an
//! [`InferenceNode`](inference_node::InferenceNode) below them. The node adds the complete predictions,
//! and the calls become fields of these. However DataFusion rewrites the expressions, the model runs in this
//! node, after everything that can run before it. [`InferencePlanner`](query_planner::InferencePlanner) plans the node
//! as an [`InferenceExec`](inference_exec::InferenceExec).

mod annotation_groups;
mod defer;
pub(crate) mod extract_inference;
pub(crate) mod first_pieces;
pub(crate) mod inference_exec;
pub(crate) mod inference_node;
pub(crate) mod query_planner;
mod rewrite;
