//! One file a function; what they share is here.

pub(crate) mod emotion_classify;
pub(crate) mod emotion_scores;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarUDF};
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

/// Accepts one text of any string type as it is; NULL without a type becomes `Utf8`.
fn coerce_text(function: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [DataType::Null] => Ok(vec![DataType::Utf8]),
        [text] if is_text(text) => Ok(vec![text.clone()]),
        [other] => Err(Error::WrongType { function, given: other.clone() }.into()),
        _ => Err(Error::WrongArguments { function, given: types.len() }.into()),
    }
}

/// A result that is NULL only where the text is.
fn nullable_as_text(function: &str, args: &ReturnFieldArgs<'_>, data_type: DataType) -> FieldRef {
    let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
    Arc::new(Field::new(function, data_type, nullable))
}

/// Infers each distinct text of the argument once and lets `scatter` write the rows' results.
///
/// `scatter` gets the prediction of each row, `None` for NULL. A scalar gives a scalar.
fn infer(
    function: &'static str,
    model: &Model,
    args: &[ColumnarValue],
    scatter: impl FnOnce(&[Option<&Prediction>]) -> Result<ArrayRef>,
) -> Result<ColumnarValue> {
    let [text] = args else {
        return Err(Error::WrongArguments { function, given: args.len() }.into());
    };
    let (column, is_scalar) = match text {
        ColumnarValue::Array(array) => (Arc::clone(array), false),
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
