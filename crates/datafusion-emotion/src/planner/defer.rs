use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, FetchType, LogicalPlan, Projection, Sort, SubqueryAlias};

use super::inference_node::InferenceNode;
use super::rewrite::over_input;

/// Puts a copy of a sort with a limit below an inference that the sort does not depend on.
///
/// `SELECT emotion_classify(text) … ORDER BY time LIMIT 10` then classifies ten texts. The sort itself stays, because
/// partitions may change the order of the rows again.
pub(super) fn defer(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Sort(sort) = plan else { return Ok(Transformed::no(plan)) };
    match first_rows(&sort, &sort.input)? {
        Some(input) => Ok(Transformed::yes(LogicalPlan::Sort(Sort { input: Arc::new(input), ..sort }))),
        None => Ok(Transformed::no(LogicalPlan::Sort(sort))),
    }
}

/// The plan whose inference receives only the first rows in the order of `sort`; `None` if there is no inference, if
/// the order depends on it, or if it already receives no more rows than these.
fn first_rows(sort: &Sort, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    if sort.fetch.is_none_or(|fetch| has_at_most(plan, fetch)) {
        return Ok(None);
    }
    match plan {
        LogicalPlan::Projection(projection) => below_projection(sort, projection),
        LogicalPlan::SubqueryAlias(alias) => below_alias(sort, alias),
        LogicalPlan::Extension(extension) => match InferenceNode::of(extension.node.as_ref()) {
            Some(node) => below_inference(sort, node),
            None => Ok(None),
        },
        _ => Ok(None),
    }
}

/// Whether a plan is known to return at most `rows` rows.
fn has_at_most(plan: &LogicalPlan, rows: usize) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => has_at_most(&projection.input, rows),
        LogicalPlan::SubqueryAlias(alias) => has_at_most(&alias.input, rows),
        LogicalPlan::Extension(extension) => {
            InferenceNode::of(extension.node.as_ref()).is_some_and(|node| has_at_most(&node.input, rows))
        }
        LogicalPlan::Sort(sort) => sort.fetch.is_some_and(|fetch| fetch <= rows) || has_at_most(&sort.input, rows),
        LogicalPlan::Limit(limit) => match limit.get_fetch_type() {
            Ok(FetchType::Literal(Some(fetch))) => fetch <= rows,
            _ => false,
        },
        _ => false,
    }
}

fn below_projection(sort: &Sort, projection: &Projection) -> Result<Option<LogicalPlan>> {
    let Some(sort) = sort_below(sort, projection.schema.as_ref(), &projection.expr)? else { return Ok(None) };
    let Some(input) = first_rows(&sort, &projection.input)? else { return Ok(None) };
    let projection = Projection::try_new(projection.expr.clone(), Arc::new(input))?;
    Ok(Some(LogicalPlan::Projection(projection)))
}

fn below_alias(sort: &Sort, alias: &SubqueryAlias) -> Result<Option<LogicalPlan>> {
    let columns: Vec<_> = alias.input.schema().columns().into_iter().map(Expr::Column).collect();
    let Some(sort) = sort_below(sort, alias.schema.as_ref(), &columns)? else { return Ok(None) };
    let Some(input) = first_rows(&sort, &alias.input)? else { return Ok(None) };
    let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
    Ok(Some(LogicalPlan::SubqueryAlias(alias)))
}

fn below_inference(sort: &Sort, node: &InferenceNode) -> Result<Option<LogicalPlan>> {
    let added: HashSet<Column> = node.places().into_iter().map(|place| place.column).collect();
    let uses = |key: &Expr| key.column_refs().into_iter().any(|column| added.contains(column));
    if sort.expr.iter().any(|key| uses(&key.expr)) {
        return Ok(None);
    }
    let input = match first_rows(sort, &node.input)? {
        Some(input) => input,
        None => {
            LogicalPlan::Sort(Sort { expr: sort.expr.clone(), input: Arc::new(node.input.clone()), fetch: sort.fetch })
        }
    };
    Ok(Some(node.with_input(input)?.into_plan()))
}

/// The sort in terms of the input of a node whose output is `exprs`; `None` if `exprs` do more than rename its keys.
fn sort_below(sort: &Sort, output: &DFSchema, exprs: &[Expr]) -> Result<Option<Sort>> {
    let mut keys = Vec::with_capacity(sort.expr.len());
    for key in &sort.expr {
        let Some(expr) = over_input(&key.expr, output, exprs)? else { return Ok(None) };
        keys.push(key.with_expr(expr));
    }
    Ok(Some(Sort { expr: keys, input: Arc::clone(&sort.input), fetch: sort.fetch }))
}
