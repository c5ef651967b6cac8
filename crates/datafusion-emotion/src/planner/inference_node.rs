use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};

use crate::functions::emotion_annotate;
use crate::model::Model;
use crate::shared::Shared;

/// Adds a column to its input: the annotation of a text by a model.
#[derive(Debug, Clone)]
pub(crate) struct InferenceNode {
    pub input: LogicalPlan,
    pub text: Expr,
    pub model: Arc<Model>,
    pub shared: Arc<Shared>,
    /// The name of the column, which does not change when rules rewrite the text.
    name: String,
    schema: DFSchemaRef,
}

impl InferenceNode {
    /// The node over `input`, whose column has the type `annotation`; `None` if `input` has a column of the same name
    /// already.
    pub(crate) fn try_new(
        input: LogicalPlan,
        text: Expr,
        model: Arc<Model>,
        shared: Arc<Shared>,
        annotation: DataType,
    ) -> Result<Option<Self>> {
        let text_name = text.schema_name().to_string();
        let name = match model.name() {
            Model::BUILT_IN => format!("{}({text_name})", emotion_annotate::NAME),
            other => format!("{}({text_name},'{other}')", emotion_annotate::NAME),
        };
        if input.schema().fields().iter().any(|field| *field.name() == name) {
            return Ok(None);
        }
        Ok(Some(Self::named(input, text, model, shared, name, annotation)?))
    }

    /// The node whose column is called `name` and has the type `annotation`.
    pub(crate) fn named(
        input: LogicalPlan,
        text: Expr,
        model: Arc<Model>,
        shared: Arc<Shared>,
        name: String,
        annotation: DataType,
    ) -> Result<Self> {
        let field = Field::new(&name, annotation, text.nullable(input.schema())?);
        let fields = input.schema().iter().map(|(table, field)| (table.cloned(), Arc::clone(field)));
        let fields = fields.chain([(None, Arc::new(field))]).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?);
        Ok(Self { input, text, model, shared, name, schema })
    }

    pub(crate) fn with_input(&self, text: Expr, input: LogicalPlan) -> Result<Self> {
        let (model, shared) = (Arc::clone(&self.model), Arc::clone(&self.shared));
        Self::named(input, text, model, shared, self.name.clone(), self.annotation().clone())
    }

    /// The type of the column that this node adds.
    pub(crate) fn annotation(&self) -> &DataType {
        self.schema.field(self.schema.fields().len() - 1).data_type()
    }

    /// The column that this node adds.
    pub(crate) fn column(&self) -> Column {
        Column::new_unqualified(&self.name)
    }

    pub(crate) fn column_name(&self) -> &str {
        &self.name
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
        self.text == other.text && self.model == other.model && self.name == other.name && self.input == other.input
    }
}

impl Eq for InferenceNode {}

impl Hash for InferenceNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
        self.model.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for InferenceNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other {
            return Some(Ordering::Equal);
        }
        match self.name.cmp(&other.name) {
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
        vec![self.text.clone()]
    }

    /// Predicates over other columns are pushed down, so that rows they drop are not classified.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::from([self.name.clone()])
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inference: text={}, model={}", self.text, self.model.name())
    }

    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        self.with_input(exprs.swap_remove(0), inputs.swap_remove(0))
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let inputs = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|&column| column < inputs).collect()])
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}
