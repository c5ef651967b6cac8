//! Columns of tables, by their names.

use arrow::array::{ArrayRef, AsArray, LargeStringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::Expr;
use datafusion::prelude::DataFrame;

use crate::analysis::error::{Result, refused};

/// The name that figures and pages give to the label of texts whose most probable label does not hold.
pub const NO_LABEL: &str = "none";

pub(crate) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// Refuses the name of a column that does not exist.
pub(crate) fn check_column(frame: &DataFrame, name: &str, file: &str) -> Result<()> {
    let names: Vec<&str> = frame.schema().fields().iter().map(|field| field.name().as_str()).collect();
    if names.contains(&name) {
        return Ok(());
    }
    let is_between = |delimiter: &char| matches!(names[..], [all] if all.split(*delimiter).any(|part| part == name));
    let advice = match [';', '\t', '|'].iter().find(|delimiter| is_between(delimiter)) {
        Some(delimiter) => format!("; use --delimiter '{}'", delimiter.escape_default()),
        None => String::new(),
    };
    refused(format!("'{file}' has no column '{name}': it has {}{advice}", names.join(", ")))
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => values.is_string(),
        other => other.is_string() || *other == DataType::Null,
    }
}

/// The strings of a column of any string type.
pub(crate) fn strings(column: &ArrayRef, name: &str) -> Result<LargeStringArray> {
    if !is_text(column.data_type()) {
        return refused(format!("the column '{name}' holds {}, not texts: name another", column.data_type()));
    }
    Ok(cast(column, &DataType::LargeUtf8)?.as_string::<i64>().clone())
}
