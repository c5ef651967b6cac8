use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion_macros::user_doc;

use crate::shared::Shared;

/// `emotion_stats_reset() -> Boolean`: starts the counts of `emotion_stats()` again.
#[user_doc(
    doc_section(label = "Emotion Functions"),
    description = "Starts the counts of emotion_stats() again from nothing. Returns true.",
    syntax_example = "emotion_stats_reset()",
    sql_example = r"```sql
> SELECT emotion_stats_reset();
+-----------------------+
| emotion_stats_reset() |
+-----------------------+
| true                  |
+-----------------------+
```"
)]
#[derive(Debug)]
pub(crate) struct EmotionStatsReset {
    signature: Signature,
    shared: Arc<Shared>,
}

impl EmotionStatsReset {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        // The second says the same where SHOW FUNCTIONS asks for types.
        let none = vec![TypeSignature::Nullary, TypeSignature::Exact(vec![])];
        Self { signature: Signature::one_of(none, Volatility::Volatile), shared: Arc::clone(shared) }
    }
}

impl PartialEq for EmotionStatsReset {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for EmotionStatsReset {}

impl Hash for EmotionStatsReset {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.shared).hash(state);
    }
}

impl ScalarUDFImpl for EmotionStatsReset {
    fn name(&self) -> &'static str {
        "emotion_stats_reset"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.shared.usage.reset();
        Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.doc()
    }
}
