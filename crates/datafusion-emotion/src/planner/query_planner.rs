use std::sync::Arc;

use arrow::datatypes::Field;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};

use super::inference_exec::{InferenceExec, InferredColumn};
use super::inference_node::InferenceNode;

/// DataFusion's planner with [`InferencePlanner`].
#[derive(Debug)]
pub(crate) struct EmotionQueryPlanner;

#[async_trait]
impl QueryPlanner for EmotionQueryPlanner {
    async fn create_physical_plan(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(InferencePlanner)]);
        planner.create_physical_plan(logical_plan, session).await
    }
}

/// Plans the inference nodes that the optimizer rule of [`EmotionExt::with_emotion`](crate::EmotionExt::with_emotion)
/// adds to logical plans; for engines with their own query planner.
#[derive(Debug, Clone, Copy)]
pub struct InferencePlanner;

#[async_trait]
impl ExtensionPlanner for InferencePlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(node), [logical], [physical]) = (InferenceNode::of(node), logical_inputs, physical_inputs) else {
            return Ok(None);
        };
        let columns = node.columns.iter().map(|column| {
            let text = planner.create_physical_expr(&column.text, logical.schema(), session, context)?;
            let nullable = text.nullable(&physical.schema())?;
            let field = Arc::new(Field::new(&column.name, column.annotation.clone(), nullable));
            Ok(InferredColumn { text, model: Arc::clone(&column.model), field })
        });
        let columns = columns.collect::<Result<_>>()?;
        let exec = InferenceExec::adding(Arc::clone(physical), columns, &node.shared);
        Ok(Some(Arc::new(exec)))
    }
}
