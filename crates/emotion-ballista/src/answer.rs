//! What a cluster answers, with its errors in the words in which they arose.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::TryStreamExt;

/// A query that a cluster runs.
#[derive(Debug)]
pub(crate) struct AnswerExec(pub Arc<dyn ExecutionPlan>);

impl DisplayAs for AnswerExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt_as(format, f)
    }
}

impl ExecutionPlan for AnswerExec {
    fn name(&self) -> &'static str {
        "AnswerExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        self.0.metrics()
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(readable(self.0.execute(partition, context).map_err(cause)?))
    }
}

/// A stream with errors as they arose.
pub(crate) fn readable(stream: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = stream.schema();
    Box::pin(RecordBatchStreamAdapter::new(schema, stream.map_err(cause)))
}

/// The error of a task as it arose, where it is known by its words: what Ballista tells of it is how it is written
/// for debugging.
pub(crate) fn cause(error: DataFusionError) -> DataFusionError {
    let message = error.find_root().strip_backtrace();
    let told = message.split_once("runtime execution error: ").map(|(_, told)| told);
    told.and_then(known).unwrap_or(error)
}

fn known(told: &str) -> Option<DataFusionError> {
    let (before, rest) = told.split_once('"')?;
    let (literal, _) = rest.rsplit_once('"')?;
    let words = unescaped(literal);
    Some(match before.rsplit('(').nth(1) {
        Some("Plan") => DataFusionError::Plan(words),
        Some("Configuration") => DataFusionError::Configuration(words),
        _ => DataFusionError::Execution(words),
    })
}

/// What a string literal stands for.
fn unescaped(literal: &str) -> String {
    let mut words = String::new();
    let mut characters = literal.chars();
    while let Some(character) = characters.next() {
        words.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                escaped => escaped.unwrap_or('\\'),
            },
            other => other,
        });
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_in_the_words_in_which_they_arose() {
        for error in [
            DataFusionError::Plan("'even' is no label:\n it has \"joy\"".into()),
            DataFusionError::Configuration("no C:\\model".into()),
            DataFusionError::Execution("that is how it is".into()),
        ] {
            let told = DataFusionError::Shared(Arc::new(DataFusionError::External(Box::new(error))));
            let DataFusionError::Shared(inner) = &told else { unreachable!() };
            let message =
                format!("Job 1 failed: Task failed due to runtime execution error: DataFusionError({told:?})");
            let expected = inner.find_root().to_string();
            assert_eq!(cause(DataFusionError::Execution(message)).to_string(), expected);
        }
        let other = "Job 1 failed: runtime execution error: ArrowError(DivideByZero)";
        assert!(cause(DataFusionError::Execution(other.into())).to_string().contains(other));
    }
}
