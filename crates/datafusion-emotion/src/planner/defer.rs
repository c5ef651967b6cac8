use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Sort, SubqueryAlias};

use super::InferenceNode;
use super::extract_inference::below;

/// Moves a sort that keeps only the first rows below an inference that it does not depend on.
///
/// `SELECT emotion_classify(text) … ORDER BY time LIMIT 10` then infers ten texts.
pub(super) fn defer(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Sort(sort) = plan else { return Ok(Transformed::no(plan)) };
    if sort.fetch.is_none() || !infers(&sort.input) {
        return Ok(Transformed::no(LogicalPlan::Sort(sort)));
    }
    let moved = match sort.input.as_ref() {
        LogicalPlan::Projection(projection) => below_projection(&sort, projection)?,
        LogicalPlan::SubqueryAlias(alias) => below_alias(&sort, alias)?,
        LogicalPlan::Extension(extension) => match InferenceNode::of(extension.node.as_ref()) {
            Some(node) => below_inference(&sort, node)?,
            None => None,
        },
        _ => None,
    };
    Ok(match moved {
        Some(plan) => Transformed::yes(plan),
        None => Transformed::no(LogicalPlan::Sort(sort)),
    })
}

/// Whether there is an inference under nodes that a sort can pass.
fn infers(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => infers(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => infers(&alias.input),
        LogicalPlan::Extension(extension) => InferenceNode::of(extension.node.as_ref()).is_some(),
        _ => false,
    }
}

fn below_projection(sort: &Sort, projection: &Projection) -> Result<Option<LogicalPlan>> {
    let Some(input) = sort_below(sort, projection.schema.as_ref(), &projection.expr, &projection.input)? else {
        return Ok(None);
    };
    let projection = Projection::try_new(projection.expr.clone(), Arc::new(input))?;
    Ok(Some(LogicalPlan::Projection(projection)))
}

fn below_alias(sort: &Sort, alias: &SubqueryAlias) -> Result<Option<LogicalPlan>> {
    let columns: Vec<_> = alias.input.schema().columns().into_iter().map(Expr::Column).collect();
    let Some(input) = sort_below(sort, alias.schema.as_ref(), &columns, &alias.input)? else { return Ok(None) };
    let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
    Ok(Some(LogicalPlan::SubqueryAlias(alias)))
}

fn below_inference(sort: &Sort, node: &InferenceNode) -> Result<Option<LogicalPlan>> {
    let uses = |key: &Expr| key.column_refs().contains(&node.column());
    if sort.expr.iter().any(|key| uses(&key.expr)) {
        return Ok(None);
    }
    let sorted = Sort { expr: sort.expr.clone(), input: Arc::new(node.input.clone()), fetch: sort.fetch };
    let sorted = defer(LogicalPlan::Sort(sorted))?.data;
    Ok(Some(node.with_input(node.text.clone(), sorted)?.into_plan()))
}

/// The same sort over the input of a node whose output is `exprs`, moved on below what is there.
fn sort_below(
    sort: &Sort,
    output: &datafusion::common::DFSchema,
    exprs: &[Expr],
    input: &Arc<LogicalPlan>,
) -> Result<Option<LogicalPlan>> {
    let mut keys = Vec::with_capacity(sort.expr.len());
    for key in &sort.expr {
        let Some(expr) = below(&key.expr, output, exprs)? else { return Ok(None) };
        keys.push(key.with_expr(expr));
    }
    let sorted = LogicalPlan::Sort(Sort { expr: keys, input: Arc::clone(input), fetch: sort.fetch });
    let deferred = defer(sorted)?;
    // Below a projection alone nothing is won; somewhere under it there must be an inference.
    Ok(deferred.transformed.then_some(deferred.data))
}
