use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::inference_exec::InferenceExec;

/// Lets an inference begin with few rows only if an operator above it may stop reading early.
///
/// Few rows are little work for many cores, and reading the weights takes as long as for many.
#[derive(Debug)]
pub(crate) struct SizeFirstPieces;

impl PhysicalOptimizerRule for SizeFirstPieces {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        sized(plan, false)
    }

    fn name(&self) -> &'static str {
        "size_first_pieces"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan below an operator that may stop reading early if `may_stop`.
fn sized(plan: Arc<dyn ExecutionPlan>, may_stop: bool) -> Result<Arc<dyn ExecutionPlan>> {
    let below = may_stop_reading(plan.as_ref(), may_stop);
    let children = plan.children().into_iter().map(|child| sized(Arc::clone(child), below)).collect::<Result<_>>()?;
    let plan = replace_children_if_necessary(plan, children)?;
    Ok(match InferenceExec::of(plan.as_ref()) {
        Some(inference) if inference.begins_small() != may_stop => Arc::new(inference.beginning_small(may_stop)),
        _ => plan,
    })
}

/// Whether an operator may stop reading its inputs early, where what reads from it may do so if `may_stop`.
fn may_stop_reading(plan: &dyn ExecutionPlan, may_stop: bool) -> bool {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return aggregate.limit_options().is_some() || (may_stop && !reads_all(plan));
    }
    !reads_all(plan) && (may_stop || plan.fetch().is_some())
}

/// Whether an operator returns its first row when it has read all of its input, as a sort does, although the input
/// returns rows before.
fn reads_all(plan: &dyn ExecutionPlan) -> bool {
    let is_late = |plan: &dyn ExecutionPlan| plan.properties().emission_type == EmissionType::Final;
    is_late(plan) && !plan.children().into_iter().any(|child| is_late(child.as_ref()))
}
