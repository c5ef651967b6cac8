//! One file a function; what they share is here.

pub(crate) mod emotion_classify;
pub(crate) mod emotion_scores;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::common::utils::take_function_args;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarUDF, Signature, Volatility};
use distilbert::Prediction;

use crate::Error;
use crate::model::Model;
use crate::text_column::{TextColumn, is_text};

/// Every function of this crate over one model.
pub(crate) fn scalar_udfs(model: &Model) -> Vec<Arc<ScalarUDF>> {
    vec![
        Arc::new(emotion_classify::EmotionClassify::new(model.clone()).into()),
        Arc::new(emotion_scores::EmotionScores::new(model.clone()).into()),
    ]
}

/// One argument of any type: what is no text is refused by [`return_field`], with a clear message.
fn signature() -> Signature {
    Signature::any(1, Volatility::Immutable)
}

/// The field of a result that is NULL only where the text is. Refuses an argument that is no text.
fn return_field(function: &'static str, args: &ReturnFieldArgs<'_>, data_type: DataType) -> Result<FieldRef> {
    if let Some(other) = args.arg_fields.iter().find(|field| !is_text(field.data_type())) {
        return Err(Error::WrongType { function, given: other.data_type().clone() }.into());
    }
    let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
    Ok(Arc::new(Field::new(function, data_type, nullable)))
}

/// Infers each distinct text of the argument once and lets `scatter` write the rows' results.
///
/// `scatter` gets the prediction of each row, `None` for NULL. A scalar gives a scalar.
fn infer(
    function: &'static str,
    model: &Model,
    args: Vec<ColumnarValue>,
    scatter: impl FnOnce(&[Option<&Prediction>]) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let [text] = take_function_args(function, args)?;
    let (column, is_scalar) = match text {
        ColumnarValue::Array(array) => (array, false),
        ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
    };
    let Some(texts) = TextColumn::read(&column) else {
        return Err(Error::WrongType { function, given: column.data_type().clone() }.into());
    };
    let predictions = if texts.distinct.is_empty() {
        Vec::new()
    } else {
        model.classifier()?.classify(&texts.distinct).map_err(Error::from)?
    };
    let rows: Vec<_> = texts.rows.iter().map(|row| row.map(|index| &predictions[index])).collect();
    let result = scatter(&rows)?;
    Ok(if is_scalar {
        ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
    } else {
        ColumnarValue::Array(result)
    })
}
