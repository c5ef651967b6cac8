//! Sessions whose queries run on a cluster.

use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::{SessionConfigExt, SessionStateExt};
use ballista_core::planner::BallistaQueryPlanner;
use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::source_as_provider;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use datafusion_emotion::{EmotionLogicalCodec, EmotionPhysicalCodec};
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::net::TcpStream;

use crate::answer::{AnswerExec, restored};
use crate::task_error::TaskError;

/// The name of this machine in errors.
const THIS: &str = "this program";

/// The port that a scheduler listens on by default.
const DEFAULT_PORT: u16 = 50050;

/// Creates a session from a state. Its queries over files run on the cluster at `df://host:port`.
///
/// The executors must have access to the files at the same addresses. A query over data that only this process has,
/// such as a table in memory, runs in this process.
///
/// ```no_run
/// use datafusion::execution::SessionStateBuilder;
/// use datafusion_emotion::EmotionExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> datafusion::error::Result<()> {
/// let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
/// let ctx = emotion_ballista::connect("df://localhost:50050", state).await?.enable_url_table();
/// ctx.sql("SELECT emotion_classify(text) FROM '/data/reviews.parquet'").await?.show().await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`DataFusionError::Configuration`] if `address` is invalid or no scheduler answers there.
pub async fn connect(address: &str, state: SessionState) -> Result<SessionContext> {
    let url = find(address).await?;
    let functions: Vec<_> = state.scalar_functions().values().cloned().collect();
    let planner = ClusterPlanner::new(&url, &state);
    let config = state.config().clone().with_ballista_query_planner(Arc::new(planner));
    let state = SessionStateBuilder::new_from_existing(state).with_config(config).build();
    let mut state = state.upgrade_for_ballista(url)?;
    // Ballista replaces the functions of the state with its own.
    for function in functions {
        if !state.scalar_functions().contains_key(function.name()) {
            state.register_udf(function)?;
        }
    }
    Ok(SessionContext::new_with_state(state))
}

/// Runs a physical plan, which may contain inference, on the cluster at `df://host:port`, with the options of a
/// session.
///
/// # Errors
///
/// [`DataFusionError::Configuration`] if `address` is invalid or no scheduler answers there; otherwise the error of the
/// cluster or of a task.
pub async fn execute(
    address: &str,
    session: &SessionContext,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<SendableRecordBatchStream> {
    let url = find(address).await?;
    let codec = EmotionPhysicalCodec::new(Arc::new(BallistaPhysicalExtensionCodec::default()), THIS);
    let config = session.copied_config().upgrade_for_ballista();
    let options = config.ballista_config();
    let answer = execute_physical_plan::<PhysicalPlanNode>(url, &options, plan, &codec, session.session_id(), config);
    answer.await.map(restored).map_err(TaskError::decode)
}

/// The URL of the scheduler at `address`, which must answer.
async fn find(address: &str) -> Result<String> {
    let (host, port) = parse(address)?;
    if let Err(error) = TcpStream::connect((host.trim_matches(['[', ']']), port)).await {
        return Err(DataFusionError::Configuration(format!(
            "no scheduler answers at df://{host}:{port} ({error}): start one there with emotion-scheduler, or \
             correct the address"
        )));
    }
    Ok(format!("http://{host}:{port}"))
}

fn parse(address: &str) -> Result<(String, u16)> {
    let wrong = || {
        DataFusionError::Configuration(format!(
            "'{address}' is not the address of a cluster: it must have the form df://localhost:{DEFAULT_PORT}"
        ))
    };
    let rest = address.strip_prefix("df://").ok_or_else(wrong)?.trim_end_matches('/');
    let is_host_alone = !rest.contains(':') || rest.ends_with(']');
    let (host, port) =
        if is_host_alone { (rest, None) } else { rest.rsplit_once(':').map_or((rest, None), |(h, p)| (h, Some(p))) };
    let port = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| wrong())?;
    if host.is_empty() || host.contains('/') {
        return Err(wrong());
    }
    Ok((host.into(), port))
}

/// Plans queries over files for the cluster, and all other queries for this process.
#[derive(Debug)]
struct ClusterPlanner {
    cluster: BallistaQueryPlanner<LogicalPlanNode>,
    local: Arc<dyn QueryPlanner + Send + Sync>,
}

impl ClusterPlanner {
    fn new(url: &str, state: &SessionState) -> Self {
        let codec = EmotionLogicalCodec::new(Arc::new(BallistaLogicalExtensionCodec::default()), THIS);
        let config = state.config().ballista_config();
        let cluster = BallistaQueryPlanner::with_extension(url.into(), config, Arc::new(codec));
        Self { cluster, local: Arc::clone(state.query_planner()) }
    }
}

#[async_trait]
impl QueryPlanner for ClusterPlanner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        if !scans_files_alone(plan)? {
            return self.local.create_physical_plan(plan, session).await;
        }
        let answer = self.cluster.create_physical_plan(plan, session).await?;
        Ok(if matches!(plan, LogicalPlan::Analyze(_)) { answer } else { Arc::new(AnswerExec(answer)) })
    }
}

/// Whether all tables of a plan are files, which executors can also read.
fn scans_files_alone(plan: &LogicalPlan) -> Result<bool> {
    let mut files_alone = true;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            files_alone &= source_as_provider(&scan.source)?.downcast_ref::<ListingTable>().is_some();
        }
        Ok(if files_alone { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    })?;
    Ok(files_alone)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn addresses() {
        let read = |address: &str| parse(address).map_err(|error| error.to_string());
        assert_eq!(read("df://localhost:7000"), Ok(("localhost".into(), 7000)));
        assert_eq!(read("df://10.0.0.1/"), Ok(("10.0.0.1".into(), 50050)));
        assert_eq!(read("df://[::1]:7000"), Ok(("[::1]".into(), 7000)));
        for wrong in ["localhost:7000", "df://", "df://host:port", "df://host/path"] {
            assert!(read(wrong).is_err_and(|error| error.contains("df://localhost:50050")), "{wrong}");
        }
    }
}
