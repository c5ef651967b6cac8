//! The columns in which a plan keeps annotations.
//!
//! DataFusion finds a column by comparing its name with those of all columns. The annotations of thousands of calls are
//! therefore fields of a few structs: with a column for each, planning would take time that is quadratic in the calls.

use std::sync::Arc;

use arrow::array::{ArrayRef, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::Column;
use datafusion::error::Result;
use datafusion::functions::core::expr_fn::get_field_path;
use datafusion::logical_expr::{Expr, lit};

/// The most annotations that each have a column of their own, and the most fields of a struct if there are more.
const GROUP: usize = 16;

/// Where the annotation of a text is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub column: Column,
    /// The field of the column, if that is a group.
    field: Option<String>,
}

impl Place {
    /// The places of annotations with these names, in order.
    pub(super) fn of(names: &[&str]) -> Vec<Self> {
        if names.len() <= GROUP {
            return names.iter().map(|name| Self { column: Column::new_unqualified(*name), field: None }).collect();
        }
        let group = |names: &[&str]| {
            let column = Column::new_unqualified(names[0]);
            names.iter().map(|name| Self { column: column.clone(), field: Some((*name).into()) }).collect::<Vec<_>>()
        };
        names.chunks(GROUP).flat_map(group).collect()
    }

    /// The same where the column has another name.
    pub(super) fn in_column(self, column: Column) -> Self {
        Self { column, ..self }
    }

    /// The annotation, or what is found in it at `path`.
    pub(super) fn get(self, path: &[&str]) -> Expr {
        let path: Vec<Expr> = self.field.as_deref().into_iter().chain(path.iter().copied()).map(lit).collect();
        let column = Expr::Column(self.column);
        if path.is_empty() { column } else { get_field_path(column, path) }
    }
}

/// The columns that hold these annotations. A group has the name of its first field, which no other column has.
pub(super) fn fields(annotations: Vec<FieldRef>) -> Vec<FieldRef> {
    if annotations.len() <= GROUP {
        return annotations;
    }
    let group =
        |fields: &[FieldRef]| Arc::new(Field::new(fields[0].name(), DataType::Struct(Fields::from(fields)), false));
    annotations.chunks(GROUP).map(group).collect()
}

/// The arrays of [`fields`].
pub(super) fn arrays(fields: &[FieldRef], annotations: Vec<ArrayRef>) -> Result<Vec<ArrayRef>> {
    if annotations.len() <= GROUP {
        return Ok(annotations);
    }
    let groups = fields.iter().zip(annotations.chunks(GROUP)).map(|(field, annotations)| {
        let DataType::Struct(fields) = field.data_type() else { unreachable!("a group is a struct") };
        Ok(Arc::new(StructArray::try_new(fields.clone(), annotations.to_vec(), None)?) as ArrayRef)
    });
    groups.collect()
}
