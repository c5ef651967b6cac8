use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, ScalarUDF, SubqueryAlias, WriteOp};
use datafusion::optimizer::{Optimizer, OptimizerConfig, OptimizerRule};

use super::defer::defer;
use super::inference_node::InferenceNode;
use super::rewrite::over_input;
use crate::annotation::Output;
use crate::functions::labels_of_annotation::LabelsOfAnnotation;
use crate::functions::text_function::{PlannedCall, TextFunction};
use crate::shared::Shared;

/// Moves calls of this crate's functions out of expressions into an [`InferenceNode`] below them.
///
/// Calls over the same text and model share one node. Conjuncts of a filter that need no inference move below the node,
/// and so does a copy of a sort with a limit. A call that is evaluated for only some rows, as in a branch of CASE,
/// stays in place, and so do the calls of UPDATE, DELETE and MERGE.
#[derive(Debug)]
pub(crate) struct ExtractInference {
    shared: Arc<Shared>,
}

impl ExtractInference {
    /// Adds the rule before the first rule that would move or copy a call.
    pub(crate) fn install(shared: &Arc<Shared>, optimizer: &mut Optimizer) {
        let before = optimizer.rules.iter().position(|rule| rule.name() == "push_down_filter");
        let at = before.unwrap_or(optimizer.rules.len());
        optimizer.rules.insert(at, Arc::new(Self { shared: Arc::clone(shared) }));
    }

    fn extract(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Projection(projection) => self.extract_from_projection(projection),
            LogicalPlan::Filter(filter) => self.extract_from_filter(filter),
            LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) | LogicalPlan::Sort(_) => self.extract_below(plan),
            other => Ok(Transformed::no(other)),
        }
    }

    fn extract_from_projection(&self, projection: Projection) -> Result<Transformed<LogicalPlan>> {
        let calls = calls(&projection.expr, projection.input.schema())?;
        let Some((input, columns)) = self.annotate(&projection.input, &calls)? else {
            return Ok(Transformed::no(LogicalPlan::Projection(projection)));
        };
        let names = NamePreserver::new_for_projection();
        let exprs = projection.expr.into_iter().map(|expr| {
            let name = names.save(&expr);
            Ok(name.restore(replace(expr, &columns)?))
        });
        let exprs = exprs.collect::<Result<_>>()?;
        Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?)))
    }

    fn extract_from_filter(&self, filter: Filter) -> Result<Transformed<LogicalPlan>> {
        let found = calls(std::slice::from_ref(&filter.predicate), filter.input.schema())?;
        if found.is_empty() {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let (costly, cheap): (Vec<_>, Vec<_>) =
            split_conjunction_owned(filter.predicate.clone()).into_iter().partition(has_call);
        let schema = Arc::clone(filter.input.schema());
        let input = match conjunction(cheap) {
            Some(cheap) => LogicalPlan::Filter(Filter::try_new(cheap, Arc::clone(&filter.input))?),
            None => filter.input.as_ref().clone(),
        };
        let Some((input, columns)) = self.annotate(&input, &found)? else {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        };
        let Some(predicate) = conjunction(costly) else { return Ok(Transformed::no(LogicalPlan::Filter(filter))) };
        let filter = Filter::try_new(replace(predicate, &columns)?, Arc::new(input))?;
        Ok(Transformed::yes(only(&schema, LogicalPlan::Filter(filter))?))
    }

    /// Moves the calls of a node into a projection below it, and extracts them from the projection.
    fn extract_below(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let [input] = plan.inputs()[..] else { return Ok(Transformed::no(plan)) };
        let schema = Arc::clone(plan.schema());
        let found = calls(&plan.expressions(), input.schema())?;
        // A reference to the call would be ambiguous if a column had the same name.
        let fresh = |name: &str| input.schema().fields().iter().all(|field| field.name() != name);
        let named = found.iter().map(|call| (call.expr.schema_name().to_string(), call));
        let found: Vec<(String, &Call)> = named.filter(|(name, _)| fresh(name)).collect();
        if found.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        let exprs = columns.chain(found.iter().map(|(_, call)| call.expr.clone())).collect();
        let projection = Projection::try_new(exprs, Arc::new(input.clone()))?;
        let projection = self.extract_from_projection(projection)?.data;
        let replaced: Vec<(Expr, Expr)> =
            found.iter().map(|(name, call)| (call.expr.clone(), Expr::Column(Column::new_unqualified(name)))).collect();
        let exprs = plan.expressions().into_iter().map(|expr| replace(expr, &replaced)).collect::<Result<_>>()?;
        let plan = plan.with_new_exprs(exprs, vec![projection])?;
        Ok(Transformed::yes(only(&schema, plan)?))
    }

    /// The plan with a column for each text and model of the calls, and each call with its replacement; `None` if no
    /// call can be replaced.
    #[expect(clippy::type_complexity, reason = "a pair of a plan and replacements")]
    fn annotate(&self, input: &LogicalPlan, calls: &[Call]) -> Result<Option<(LogicalPlan, Vec<(Expr, Expr)>)>> {
        let mut plan = input.clone();
        let mut replaced = Vec::new();
        for call in calls {
            let Some((annotated, column)) = self.annotate_for(call, &plan)? else { continue };
            plan = annotated;
            replaced.push((call.expr.clone(), call.of_annotation(column)?));
        }
        Ok((!replaced.is_empty()).then_some((plan, replaced)))
    }

    /// The plan with the column that a call needs, which the plan may already have; `None` if another column has its
    /// name.
    fn annotate_for(&self, call: &Call, plan: &LogicalPlan) -> Result<Option<(LogicalPlan, Column)>> {
        if let Some(found) = exposed(plan, &call.text, &call.planned)? {
            return Ok(Some(found));
        }
        let PlannedCall { model, annotation, .. } = &call.planned;
        let (model, shared) = (Arc::clone(model), Arc::clone(&self.shared));
        let node = InferenceNode::try_new(plan.clone(), call.text.clone(), model, shared, annotation.clone())?;
        Ok(node.map(|node| {
            let column = node.column();
            (node.into_plan(), column)
        }))
    }
}

impl OptimizerRule for ExtractInference {
    fn name(&self) -> &'static str {
        "extract_inference"
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if plan.exists(|node| Ok(changes_rows(node)))? {
            return Ok(Transformed::no(plan));
        }
        plan.transform_up_with_subqueries(|plan| self.extract(plan)?.transform_data(defer))
    }
}

/// Whether a statement changes rows of a table, whose provider is given the predicates and values of the plan below it
/// as expressions over its own columns.
fn changes_rows(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Dml(statement) = plan else { return false };
    !matches!(statement.op, WriteOp::Insert(_) | WriteOp::Ctas)
}

/// A call to one of this crate's functions.
struct Call {
    expr: Expr,
    text: Expr,
    planned: PlannedCall,
}

impl Call {
    fn of(function: &ScalarFunction, schema: &DFSchema) -> Option<Self> {
        let planned = text_function(function)?.planned(&function.args, schema)?;
        let text = function.args[0].clone();
        let expr = Expr::ScalarFunction(function.clone());
        // Without a column it is folded, or costs one inference.
        (!text.column_refs().is_empty()).then_some(Self { expr, text, planned })
    }

    /// What the call is of the annotation.
    fn of_annotation(&self, annotation: Column) -> Result<Expr> {
        let annotation = Expr::Column(annotation);
        Ok(match self.planned.output {
            Output::Label => get_field(annotation, "label"),
            Output::Score => get_field(annotation, "score"),
            Output::Scores => get_field(annotation, "scores"),
            Output::ScoreOf(id) => {
                let label = self.planned.model.classifier()?.labels()[id].to_string();
                get_field(get_field(annotation, "scores"), label)
            }
            Output::Labels => {
                let problem_type = self.planned.model.classifier()?.config().problem_type;
                ScalarUDF::from(LabelsOfAnnotation::new(problem_type)).call(vec![annotation])
            }
            Output::Annotation => annotation,
        })
    }
}

fn text_function(function: &ScalarFunction) -> Option<&TextFunction> {
    function.func.inner().downcast_ref()
}

fn has_call(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::ScalarFunction(function) if text_function(function).is_some())))
        .unwrap_or(true)
}

/// The calls in expressions that are evaluated for every row.
fn calls(exprs: &[Expr], schema: &DFSchema) -> Result<Vec<Call>> {
    let mut calls: Vec<Call> = Vec::new();
    for expr in exprs {
        expr.apply(|expr| {
            Ok(match expr {
                Expr::Case(_) | Expr::HigherOrderFunction(_) | Expr::Lambda(_) => TreeNodeRecursion::Jump,
                Expr::ScalarFunction(function) => match Call::of(function, schema) {
                    Some(call) => {
                        if !calls.iter().any(|known| known.expr == call.expr) {
                            calls.push(call);
                        }
                        TreeNodeRecursion::Jump
                    }
                    None if function.func.short_circuits() => TreeNodeRecursion::Jump,
                    None => TreeNodeRecursion::Continue,
                },
                _ => TreeNodeRecursion::Continue,
            })
        })?;
    }
    Ok(calls)
}

/// The expression with each extracted call replaced.
fn replace(expr: Expr, replaced: &[(Expr, Expr)]) -> Result<Expr> {
    let transformed = expr.transform_down(|expr| {
        Ok(match replaced.iter().find(|(call, _)| *call == expr) {
            Some((_, by)) => Transformed::new(by.clone(), true, TreeNodeRecursion::Jump),
            None => Transformed::no(expr),
        })
    });
    Ok(transformed?.data)
}

/// The plan reduced to the columns of `schema`, if columns were added to its output.
fn only(schema: &DFSchema, plan: LogicalPlan) -> Result<LogicalPlan> {
    if plan.schema().fields().len() == schema.fields().len() {
        return Ok(plan);
    }
    let columns = schema.columns().into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
}

/// The plan with the column of an inference that it does already, let through to the top; of a call over this text.
fn exposed(plan: &LogicalPlan, text: &Expr, call: &PlannedCall) -> Result<Option<(LogicalPlan, Column)>> {
    match plan {
        LogicalPlan::Extension(extension) => {
            let Some(node) = InferenceNode::of(extension.node.as_ref()) else { return Ok(None) };
            if node.text == *text && node.model == call.model && *node.annotation() == call.annotation {
                return Ok(Some((plan.clone(), node.column())));
            }
            let Some((input, column)) = exposed(&node.input, text, call)? else { return Ok(None) };
            Ok(Some((node.with_input(node.text.clone(), input)?.into_plan(), column)))
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
            let Some((input, column)) = exposed(plan.inputs()[0], text, call)? else { return Ok(None) };
            Ok(Some((plan.with_new_exprs(plan.expressions(), vec![input])?, column)))
        }
        LogicalPlan::Projection(projection) => {
            let Some(text) = over_input(text, projection.schema.as_ref(), &projection.expr)? else { return Ok(None) };
            let Some((input, column)) = exposed(&projection.input, &text, call)? else { return Ok(None) };
            let is_column = |expr: &Expr| expr.clone().unalias_nested().data == Expr::Column(column.clone());
            if let Some(index) = projection.expr.iter().position(is_column) {
                return Ok(Some((plan.clone(), Column::from(projection.schema.qualified_field(index)))));
            }
            if projection.schema.fields().iter().any(|field| *field.name() == column.name) {
                return Ok(None);
            }
            let exprs = projection.expr.iter().cloned().chain([Expr::Column(column.clone())]).collect();
            Ok(Some((LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?), column)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let columns: Vec<_> = alias.input.schema().columns().into_iter().map(Expr::Column).collect();
            let Some(text) = over_input(text, alias.schema.as_ref(), &columns)? else { return Ok(None) };
            let Some((input, column)) = exposed(&alias.input, &text, call)? else { return Ok(None) };
            let plan = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            let column = Column::new(Some(alias.alias.clone()), column.name);
            Ok(Some((LogicalPlan::SubqueryAlias(plan), column)))
        }
        _ => Ok(None),
    }
}
