use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};

use super::annotation_groups::{self, Place};
use crate::functions::emotion_annotate;
use crate::model::Model;
use crate::shared::Shared;

/// Adds the annotations of texts by models to its input: see [`annotation_groups`].
///
/// One node adds the annotations of all calls of a level of the query, so that the depth of a plan does not depend on the
/// number of its calls.
#[derive(Debug, Clone)]
pub(crate) struct InferenceNode {
    pub input: LogicalPlan,
    pub columns: Arc<[AnnotationColumn]>,
    pub shared: Arc<Shared>,
    schema: DFSchemaRef,
}

/// An annotation that an [`InferenceNode`] adds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AnnotationColumn {
    pub text: Expr,
    pub model: Arc<Model>,
    /// It does not change when rules rewrite the text.
    pub name: String,
    /// The type of the annotation.
    pub annotation: DataType,
}

impl AnnotationColumn {
    pub(crate) fn new(text: Expr, model: Arc<Model>, annotation: DataType) -> Self {
        let text_name = text.schema_name().to_string();
        let name = match model.name() {
            Model::BUILT_IN => format!("{}({text_name})", emotion_annotate::NAME),
            other => format!("{}({text_name},'{other}')", emotion_annotate::NAME),
        };
        Self { text, model, name, annotation }
    }
}

impl InferenceNode {
    /// The node over `input`, which has no column with the name of one of `columns`.
    pub(crate) fn try_new(input: LogicalPlan, columns: Arc<[AnnotationColumn]>, shared: Arc<Shared>) -> Result<Self> {
        let added = columns.iter().map(|column| {
            let nullable = column.text.nullable(input.schema())?;
            Ok(Arc::new(Field::new(&column.name, column.annotation.clone(), nullable)))
        });
        let added = annotation_groups::fields(added.collect::<Result<_>>()?);
        let fields = input.schema().iter().map(|(table, field)| (table.cloned(), Arc::clone(field)));
        let fields = fields.chain(added.into_iter().map(|field| (None, field))).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?);
        Ok(Self { input, columns, shared, schema })
    }

    /// The places of the annotations, in the order of `columns`.
    pub(super) fn places(&self) -> Vec<Place> {
        Place::of(&self.columns.iter().map(|column| &*column.name).collect::<Vec<_>>())
    }

    /// The same columns over another input.
    pub(crate) fn with_input(&self, input: LogicalPlan) -> Result<Self> {
        Self::try_new(input, Arc::clone(&self.columns), Arc::clone(&self.shared))
    }

    pub(crate) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The node as an [`InferenceNode`], if it is one.
    pub(crate) fn of(node: &dyn UserDefinedLogicalNode) -> Option<&Self> {
        node.as_any().downcast_ref()
    }
}

impl PartialEq for InferenceNode {
    fn eq(&self, other: &Self) -> bool {
        self.columns == other.columns && self.input == other.input
    }
}

impl Eq for InferenceNode {}

impl Hash for InferenceNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.columns.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for InferenceNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other {
            return Some(Ordering::Equal);
        }
        let names = |node: &Self| node.columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
        match names(self).cmp(&names(other)) {
            Ordering::Equal => self.input.partial_cmp(&other.input).filter(|order| order.is_ne()),
            order => Some(order),
        }
    }
}

impl UserDefinedLogicalNodeCore for InferenceNode {
    fn name(&self) -> &'static str {
        "Inference"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.columns.iter().map(|column| column.text.clone()).collect()
    }

    /// Predicates over other columns are pushed down, so that rows they drop are not classified.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.places().into_iter().map(|place| place.column.name).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |column: &AnnotationColumn| format!("text={}, model={}", column.text, column.model.name());
        write!(f, "Inference: {}", self.columns.iter().map(of).collect::<Vec<_>>().join("; "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = inputs.swap_remove(0);
        // Most rules rebuild the plan without a change: a schema of thousands of columns is not computed for each.
        if Arc::ptr_eq(input.schema(), self.input.schema()) && self.columns.iter().map(|c| &c.text).eq(&exprs) {
            return Ok(Self {
                input,
                columns: Arc::clone(&self.columns),
                shared: Arc::clone(&self.shared),
                schema: Arc::clone(&self.schema),
            });
        }
        let columns = self.columns.iter().zip(exprs).map(|(column, text)| AnnotationColumn {
            text,
            model: Arc::clone(&column.model),
            name: column.name.clone(),
            annotation: column.annotation.clone(),
        });
        Self::try_new(input, columns.collect(), Arc::clone(&self.shared))
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|&column| column < inputs).collect()])
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}

#[cfg(all(test, feature = "default-model"))]
mod tests {
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::{LogicalPlanBuilder, col, lit};

    use super::*;

    /// A rule that changes nothing rebuilds a node all the same, and there are dozens of rules.
    #[test]
    fn a_rebuilt_node_keeps_its_schema_unless_it_changes() {
        let values = vec![vec![lit("I like you.")], vec![lit(ScalarValue::Utf8(None))]];
        let input = LogicalPlanBuilder::values(values).unwrap().build().unwrap();
        let column = |text| AnnotationColumn::new(text, Model::built_in(), DataType::Utf8);
        let node = InferenceNode::try_new(input, [column(col("column1"))].into(), Arc::default()).unwrap();
        let with_texts =
            |texts| UserDefinedLogicalNodeCore::with_exprs_and_inputs(&node, texts, vec![node.input.clone()]);
        let rebuilt = with_texts(UserDefinedLogicalNodeCore::expressions(&node)).unwrap();
        assert!(Arc::ptr_eq(&node.schema, &rebuilt.schema));
        let changed = with_texts(vec![lit("I")]).unwrap();
        assert!(!changed.schema.field(1).is_nullable() && node.schema.field(1).is_nullable());
    }
}
