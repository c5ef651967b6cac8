use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use datafusion::catalog::{MemTable, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::plan_err;
use datafusion::error::Result;

use crate::shared::Shared;

/// `emotion_stats()`: a row with what the session's functions did so far.
#[derive(Debug)]
pub(crate) struct EmotionStats {
    pub(crate) shared: Arc<Shared>,
}

impl TableFunctionImpl for EmotionStats {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        if !args.exprs().is_empty() {
            return plan_err!("emotion_stats takes no arguments");
        }
        let batch = self.counts()?;
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
    }
}

impl EmotionStats {
    fn counts(&self) -> Result<RecordBatch> {
        let usage = &self.shared.usage;
        let counts = usage.inference.snapshot();
        let busy = counts.busy.as_secs_f64();
        let integer = |value: u64| -> ArrayRef { Arc::new(UInt64Array::from(vec![value])) };
        let counter = |value: &AtomicU64| integer(value.load(Relaxed));
        let ratio =
            |value: f64, of: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![(of > 0.0).then_some(value / of)])) };
        let (tokens, unknown) = (counts.tokens as f64, counts.unknown_tokens as f64);
        Ok(RecordBatch::try_from_iter([
            ("rows", counter(&usage.rows)),
            ("nulls", counter(&usage.nulls)),
            ("distinct_texts", counter(&usage.distinct)),
            ("cache_hits", integer(counts.cache_hits)),
            ("forward_passes", integer(counts.forward_passes)),
            ("tokens", integer(counts.tokens)),
            ("truncated_texts", integer(counts.truncated)),
            ("unknown_token_rate", ratio(unknown, tokens)),
            ("busy_seconds", Arc::new(Float64Array::from(vec![busy])) as ArrayRef),
            ("tokens_per_second", ratio(tokens, busy)),
        ])?)
    }
}
