use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, ScalarUDF, SubqueryAlias, WriteOp};
use datafusion::optimizer::{Optimizer, OptimizerConfig, OptimizerRule};

use super::annotation_groups::Place;
use super::defer::defer;
use super::inference_node::{AnnotationColumn, InferenceNode};
use super::rewrite::over_input;
use crate::annotation::Output;
use crate::functions::labels_of_annotation::LabelsOfAnnotation;
use crate::functions::text_function::{PlannedCall, TextFunction};
use crate::model::Model;
use crate::shared::Shared;

/// Moves calls of this crate's functions out of expressions into an [`InferenceNode`] below them.
///
/// The calls of a level share one node, and calls over the same text and model one column. Conjuncts of a filter that need no inference move below the node,
/// and so does a copy of a sort with a limit. A call that is evaluated for only some rows, as in a branch of CASE,
/// stays in place, and so do the calls of UPDATE, DELETE and MERGE.
#[derive(Debug)]
pub(crate) struct ExtractInference {
    shared: Arc<Shared>,
}

/// The most inferences above one another for a filter.
const FILTER_LEVELS: usize = 8;

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
        // The predicate over a level moves below the next, so that rows that it drops are not inferred there.
        let (mut input, mut columns) = (input, Replacements::new());
        let first = found.len().min(FILTER_LEVELS - 1);
        for level in found[..first].chunks(1).chain([&found[first..]]) {
            if let Some((annotated, level)) = self.annotate(&input, level)? {
                input = annotated;
                columns.extend(level);
            }
        }
        if columns.is_empty() {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
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
        let existing: HashSet<&str> = input.schema().fields().iter().map(|field| field.name().as_str()).collect();
        let fresh = |name: &str| !existing.contains(name);
        let named = found.iter().map(|call| (call.expr.schema_name().to_string(), call));
        let found: Vec<(String, &Call)> = named.filter(|(name, _)| fresh(name)).collect();
        if found.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        let exprs = columns.chain(found.iter().map(|(_, call)| call.expr.clone())).collect();
        let projection = Projection::try_new(exprs, Arc::new(input.clone()))?;
        let projection = self.extract_from_projection(projection)?.data;
        let replaced: Replacements =
            found.iter().map(|(name, call)| (call.expr.clone(), Expr::Column(Column::new_unqualified(name)))).collect();
        let exprs = plan.expressions().into_iter().map(|expr| replace(expr, &replaced)).collect::<Result<_>>()?;
        let plan = plan.with_new_exprs(exprs, vec![projection])?;
        Ok(Transformed::yes(only(&schema, plan)?))
    }

    /// The plan with an annotation for each text and model of the calls, and each call with its replacement; `None` if
    /// no call can be replaced.
    #[expect(clippy::mutable_key_type, reason = "the loaded classifier of a model is no part of its hash")]
    fn annotate(&self, input: &LogicalPlan, calls: &[Call]) -> Result<Option<(LogicalPlan, Replacements)>> {
        let (mut plan, places) = expose(input, &calls.iter().map(Wanted::of).collect::<Vec<_>>())?;
        let mut names: HashSet<String> = plan.schema().fields().iter().map(|field| field.name().clone()).collect();
        // The index of each annotation that is added.
        let mut added: HashMap<Wanted<'_>, Option<usize>> = HashMap::new();
        let mut new = Vec::new();
        for (call, _) in calls.iter().zip(&places).filter(|(_, place)| place.is_none()) {
            added.entry(Wanted::of(call)).or_insert_with(|| {
                let PlannedCall { model, annotation, .. } = &call.planned;
                let column = AnnotationColumn::new(call.text.clone(), Arc::clone(model), annotation.clone());
                // Another column that has this name would be ambiguous.
                names.insert(column.name.clone()).then(|| {
                    new.push(column);
                    new.len() - 1
                })
            });
        }
        let mut new_places = Vec::new();
        if !new.is_empty() {
            let node = InferenceNode::try_new(plan, new.into(), Arc::clone(&self.shared))?;
            new_places = node.places();
            plan = node.into_plan();
        }
        let mut replaced = Replacements::new();
        for (call, place) in calls.iter().zip(places) {
            let new_place = || added.get(&Wanted::of(call))?.map(|index| new_places[index].clone());
            if let Some(place) = place.or_else(new_place) {
                replaced.insert(call.expr.clone(), call.of_annotation(place)?);
            }
        }
        Ok((!replaced.is_empty()).then_some((plan, replaced)))
    }
}

/// Calls and the expressions that replace them.
type Replacements = HashMap<Expr, Expr>;

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
    fn of_annotation(&self, annotation: Place) -> Result<Expr> {
        Ok(match self.planned.output {
            Output::Label => annotation.get(&["label"]),
            Output::Score => annotation.get(&["score"]),
            Output::Scores => annotation.get(&["scores"]),
            Output::ScoreOf(id) => annotation.get(&["scores", &self.planned.model.classifier()?.labels()[id]]),
            Output::Labels => {
                let problem_type = self.planned.model.classifier()?.config().problem_type;
                ScalarUDF::from(LabelsOfAnnotation::new(problem_type)).call(vec![annotation.get(&[])])
            }
            Output::Annotation => annotation.get(&[]),
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

/// The calls in expressions that are evaluated for every row, each once.
fn calls(exprs: &[Expr], schema: &DFSchema) -> Result<Vec<Call>> {
    let (mut calls, mut known) = (Vec::new(), HashSet::new());
    for expr in exprs {
        expr.apply(|expr| {
            Ok(match expr {
                Expr::Case(_) | Expr::HigherOrderFunction(_) | Expr::Lambda(_) => TreeNodeRecursion::Jump,
                Expr::ScalarFunction(_) if known.contains(expr) => TreeNodeRecursion::Jump,
                Expr::ScalarFunction(function) => match Call::of(function, schema) {
                    Some(call) => {
                        known.insert(call.expr.clone());
                        calls.push(call);
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
fn replace(expr: Expr, replaced: &Replacements) -> Result<Expr> {
    let transformed = expr.transform_down(|expr| {
        // Only these are keys: the hash of any other expression would be computed in vain, at each level anew.
        if !matches!(expr, Expr::ScalarFunction(_)) {
            return Ok(Transformed::no(expr));
        }
        Ok(match replaced.get(&expr) {
            Some(by) => Transformed::new(by.clone(), true, TreeNodeRecursion::Jump),
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

/// The annotation that a call needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted<'a> {
    text: Cow<'a, Expr>,
    model: &'a Arc<Model>,
    annotation: &'a DataType,
}

impl<'a> Wanted<'a> {
    fn of(call: &'a Call) -> Self {
        let PlannedCall { model, annotation, .. } = &call.planned;
        Self { text: Cow::Borrowed(&call.text), model, annotation }
    }

    fn by(column: &'a AnnotationColumn) -> Self {
        Self { text: Cow::Borrowed(&column.text), model: &column.model, annotation: &column.annotation }
    }

    /// The annotation over the input of a node whose output is `exprs`; `None` if `exprs` do more than rename the
    /// columns of the text.
    fn below(&self, output: &DFSchema, exprs: &[Expr]) -> Result<Option<Self>> {
        let text = over_input(&self.text, output, exprs)?;
        Ok(text.map(|text| Self { text: Cow::Owned(text), ..*self }))
    }
}

/// The plan with the annotations of inferences that it does already, let through to the top, and for each of `wanted`
/// its place, if there is one.
#[expect(clippy::mutable_key_type, reason = "the loaded classifier of a model is no part of its hash")]
fn expose(plan: &LogicalPlan, wanted: &[Wanted<'_>]) -> Result<(LogicalPlan, Vec<Option<Place>>)> {
    let unchanged = || Ok((plan.clone(), vec![None; wanted.len()]));
    if wanted.is_empty() {
        return unchanged();
    }
    match plan {
        LogicalPlan::Extension(extension) => {
            let Some(node) = InferenceNode::of(extension.node.as_ref()) else { return unchanged() };
            let here: HashMap<Wanted<'_>, Place> = node.columns.iter().map(Wanted::by).zip(node.places()).collect();
            let mut places: Vec<_> = wanted.iter().map(|wanted| here.get(wanted).cloned()).collect();
            let missing: Vec<usize> = (0..wanted.len()).filter(|index| places[*index].is_none()).collect();
            let below: Vec<_> = missing.iter().map(|index| wanted[*index].clone()).collect();
            let (input, found) = expose(&node.input, &below)?;
            if found.iter().all(Option::is_none) {
                return Ok((plan.clone(), places));
            }
            for (index, place) in missing.into_iter().zip(found) {
                places[index] = place;
            }
            Ok((node.with_input(input)?.into_plan(), places))
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
            let (input, places) = expose(plan.inputs()[0], wanted)?;
            if places.iter().all(Option::is_none) {
                return unchanged();
            }
            Ok((plan.with_new_exprs(plan.expressions(), vec![input])?, places))
        }
        LogicalPlan::Projection(projection) => {
            let (input, found) = expose_below(&projection.input, wanted, projection.schema.as_ref(), &projection.expr)?;
            if found.iter().all(Option::is_none) {
                return unchanged();
            }
            let mut outputs: HashMap<Column, Column> = HashMap::new();
            for (index, expr) in projection.expr.iter().enumerate() {
                if let Expr::Column(column) = expr.clone().unalias_nested().data {
                    outputs.entry(column).or_insert_with(|| Column::from(projection.schema.qualified_field(index)));
                }
            }
            let names: HashSet<&String> = projection.schema.fields().iter().map(|field| field.name()).collect();
            let mut exprs = projection.expr.clone();
            let mut let_through = |column: Column| match outputs.get(&column) {
                Some(output) => Some(output.clone()),
                None if names.contains(&column.name) => None,
                None => {
                    exprs.push(Expr::Column(column.clone()));
                    outputs.insert(column.clone(), column.clone());
                    Some(column)
                }
            };
            let mut above = |place: Place| let_through(place.column.clone()).map(|column| place.in_column(column));
            let places = found.into_iter().map(|place| place.and_then(&mut above)).collect();
            Ok((LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(input))?), places))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let exprs: Vec<_> = alias.input.schema().columns().into_iter().map(Expr::Column).collect();
            let (input, found) = expose_below(&alias.input, wanted, alias.schema.as_ref(), &exprs)?;
            if found.iter().all(Option::is_none) {
                return unchanged();
            }
            let plan = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            let qualified = |place: Place| {
                let column = Column::new(Some(alias.alias.clone()), &place.column.name);
                place.in_column(column)
            };
            let places = found.into_iter().map(|place| place.map(qualified)).collect();
            Ok((LogicalPlan::SubqueryAlias(plan), places))
        }
        _ => unchanged(),
    }
}

/// As [`expose`], for the input of a node whose output is `exprs`.
fn expose_below(
    input: &LogicalPlan,
    wanted: &[Wanted<'_>],
    output: &DFSchema,
    exprs: &[Expr],
) -> Result<(LogicalPlan, Vec<Option<Place>>)> {
    let below: Vec<Option<Wanted<'_>>> =
        wanted.iter().map(|wanted| wanted.below(output, exprs)).collect::<Result<_>>()?;
    let (input, found) = expose(input, &below.iter().flatten().cloned().collect::<Vec<_>>())?;
    let mut found = found.into_iter();
    Ok((input, below.iter().map(|below| below.as_ref().and_then(|_| found.next().flatten())).collect()))
}
