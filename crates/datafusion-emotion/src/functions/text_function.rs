use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{Array, ArrayRef, Float32Array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, TypeSignature, Volatility,
};
use emotion_classifier::{Classifier, Prediction};

use crate::annotation::{Output, data_type, is_nullable};
use crate::error::Error;
use crate::inference::Inference;
use crate::model::Model;
use crate::options::EmotionOptions;
use crate::shared::Shared;
use crate::text_column::{TextColumn, is_text, plain, text_at};

/// Calls with up to so many arguments, most of them wrong, get an error of this crate.
const MOST_UNDERSTOOD: usize = 8;

/// A function of a text that runs a model over it.
#[derive(Debug)]
pub(crate) struct TextFunction {
    name: String,
    takes: Takes,
    /// The model where the arguments name none.
    model: Arc<Model>,
    shared: Arc<Shared>,
    documentation: Option<Documentation>,
    signature: Signature,
}

/// What a function takes after the text, and gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Takes {
    /// `(text [, model])`.
    Model(Output),
    /// `(text [, label] [, model])`, for that label's probability.
    LabelAndModel,
    /// `(text)`, or for a score `(text [, label])`, over a model that is always the same.
    Fixed(Output),
}

/// A call whose arguments are understood.
pub(crate) struct Call {
    pub model: Arc<Model>,
    pub gives: Gives,
}

/// A call that a planner rule can take out.
pub(crate) struct PlannedCall {
    pub model: Arc<Model>,
    pub output: Output,
    /// The type of the annotation that holds the output.
    pub annotation: DataType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    Output(Output),
    /// The probability of the label that stands in the row's second argument.
    ScoreOfRow,
}

impl TextFunction {
    pub(crate) fn new(
        name: impl Into<String>,
        takes: Takes,
        documentation: Option<Documentation>,
        shared: &Arc<Shared>,
        model: &Arc<Model>,
    ) -> Self {
        // What is no text is refused when the call is understood, with a clear message. The exact
        // signatures are for SHOW FUNCTIONS, which knows no types of the others.
        let mut signatures = vec![TypeSignature::Exact(vec![DataType::Utf8])];
        if matches!(takes, Takes::LabelAndModel | Takes::Fixed(Output::Score)) {
            signatures.push(TypeSignature::Exact(vec![DataType::Utf8; 2]));
        }
        signatures.push(TypeSignature::Nullary);
        signatures.extend((1..=MOST_UNDERSTOOD).map(TypeSignature::Any));
        Self {
            name: name.into(),
            takes,
            model: Arc::clone(model),
            shared: Arc::clone(shared),
            documentation,
            signature: Signature::one_of(signatures, Volatility::Immutable),
        }
    }

    #[cfg(feature = "proto")]
    pub(crate) fn takes(&self) -> Takes {
        self.takes
    }

    #[cfg(feature = "proto")]
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    #[cfg(feature = "proto")]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Understands a call in a plan; `None` if it is not one that a planner rule can take out.
    pub(crate) fn planned(&self, args: &[Expr], schema: &DFSchema) -> Option<PlannedCall> {
        let types: Vec<DataType> = args.iter().map(|arg| arg.get_type(schema)).collect::<Result<_>>().ok()?;
        let literals: Vec<_> = args.iter().map(|arg| arg.as_literal()).collect();
        let call = self.understand(&types.iter().collect::<Vec<_>>(), &literals).ok()?;
        match call.gives {
            Gives::ScoreOfRow => None,
            Gives::Output(output) => {
                let annotation = data_type(Output::Annotation, &*call.model.classifier().ok()?);
                Some(PlannedCall { model: call.model, output, annotation })
            }
        }
    }

    /// What a call with these arguments means, some of which are literals.
    fn understand(&self, types: &[&DataType], literals: &[Option<&ScalarValue>]) -> Result<Call, Error> {
        let name = || self.name.clone();
        let Some((text, rest)) = types.split_first() else { return Err(self.wrong_count(0)) };
        if !is_text(text) {
            return Err(Error::WrongType { function: name(), given: (*text).clone() });
        }
        if let Some(other) = rest.iter().find(|other| !is_text(other)) {
            let argument = if matches!(self.takes, Takes::Model(_)) { "model" } else { "label" };
            return Err(Error::WrongArgument { function: name(), argument, given: (**other).clone() });
        }
        let own = |gives| Call { model: Arc::clone(&self.model), gives };
        match (self.takes, &literals[1..]) {
            (Takes::Model(output) | Takes::Fixed(output), []) => Ok(own(Gives::Output(output))),
            (Takes::Model(output), [model]) => Ok(Call { model: self.named(*model)?, gives: Gives::Output(output) }),
            (Takes::LabelAndModel, []) => Ok(own(Gives::Output(Output::Score))),
            (Takes::LabelAndModel, [label]) => self.label_or_model(*label),
            (Takes::LabelAndModel, [label, model]) => {
                let model = self.named(*model)?;
                let gives = score_of(&model, *label)?;
                Ok(Call { model, gives })
            }
            (Takes::Fixed(Output::Score), [label]) => Ok(own(score_of(&self.model, *label)?)),
            _ => Err(self.wrong_count(types.len())),
        }
    }

    fn wrong_count(&self, given: usize) -> Error {
        let takes = match self.takes {
            Takes::Model(_) => "(text [, model])",
            Takes::LabelAndModel => "(text [, label] [, model])",
            Takes::Fixed(Output::Score) => "(text [, label])",
            Takes::Fixed(_) => "(text)",
        };
        Error::WrongCount { function: self.name.clone(), takes, given }
    }

    fn named(&self, model: Option<&ScalarValue>) -> Result<Arc<Model>, Error> {
        let name = model.and_then(|model| model.try_as_str().flatten());
        let name = name.ok_or_else(|| Error::ModelNotLiteral { function: self.name.clone() })?;
        self.shared.models.get(name)
    }

    /// A second argument is a label if the model has it, or else the name of a model.
    fn label_or_model(&self, argument: Option<&ScalarValue>) -> Result<Call, Error> {
        let unknown = match score_of(&self.model, argument) {
            Ok(gives) => return Ok(Call { model: Arc::clone(&self.model), gives }),
            Err(error) => error,
        };
        match self.named(argument) {
            Ok(model) => Ok(Call { model, gives: Gives::Output(Output::Score) }),
            Err(_) => Err(unknown),
        }
    }

    /// The result for a column of texts, of which `labels` may hold one for each row.
    fn run(
        &self,
        call: &Call,
        texts: &ArrayRef,
        labels: Option<&ArrayRef>,
        config: &ConfigOptions,
    ) -> Result<ArrayRef> {
        let Some(column) = TextColumn::read(texts) else {
            return Err(Error::WrongType { function: self.name.clone(), given: texts.data_type().clone() }.into());
        };
        let options = EmotionOptions::of(config).or(self.shared.options.as_ref());
        let inference = Inference::new(&call.model, options, &self.shared.usage)?;
        inference.usage().add_column(column.rows.len(), column.null_count(), column.distinct.len());
        let predictions = inference.run(&column.distinct, &AtomicBool::new(false)).0?;
        let rows: Vec<_> = column.rows.iter().map(|row| row.map(|index| &*predictions[index])).collect();
        match (call.gives, labels) {
            (Gives::Output(output), _) => inference.write(output, &rows),
            (Gives::ScoreOfRow, Some(labels)) => scores_of_rows(&call.model, &rows, labels),
            (Gives::ScoreOfRow, None) => Err(self.wrong_count(1).into()),
        }
    }
}

/// The score of a label, which must be one of the model's unless it depends on the row or is NULL.
fn score_of(model: &Model, label: Option<&ScalarValue>) -> Result<Gives, Error> {
    let Some(label) = label.and_then(|label| label.try_as_str().flatten()) else { return Ok(Gives::ScoreOfRow) };
    Ok(Gives::Output(Output::ScoreOf(label_id(model, &*model.classifier()?, label)?)))
}

fn label_id(model: &Model, classifier: &Classifier, label: &str) -> Result<usize, Error> {
    let id = classifier.labels().iter().position(|known| **known == *label);
    id.ok_or_else(|| Error::unknown_label(label, model.name(), classifier.labels()))
}

fn scores_of_rows(model: &Model, rows: &[Option<&Prediction>], labels: &ArrayRef) -> Result<ArrayRef> {
    let (labels, classifier) = (plain(Arc::clone(labels))?, model.classifier()?);
    let score = |(row, prediction): (usize, Option<&Prediction>)| {
        let (Some(prediction), Some(label)) = (prediction, text_at(&labels, row)) else { return Ok(None) };
        Ok(Some(prediction.probabilities[label_id(model, &classifier, label)?]))
    };
    let scores = rows.iter().copied().enumerate().map(score).collect::<Result<Float32Array, Error>>()?;
    Ok(Arc::new(scores))
}

impl PartialEq for TextFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.takes == other.takes
            && self.model == other.model
            && self.shared.models.agree(&other.shared.models)
    }
}

impl Eq for TextFunction {}

impl Hash for TextFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.takes.hash(state);
        self.model.hash(state);
    }
}

impl ScalarUDFImpl for TextFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let call = self.understand(&arg_types.iter().collect::<Vec<_>>(), &vec![None; arg_types.len()])?;
        call.data_type()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type()).collect();
        let call = self.understand(&types, args.scalar_arguments)?;
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable()) || call.is_nullable();
        Ok(Arc::new(Field::new(&self.name, call.data_type()?, nullable)))
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let options = EmotionOptions::of(config)?;
        let model = match self.takes {
            Takes::Fixed(_) => Arc::clone(&self.model),
            Takes::Model(_) | Takes::LabelAndModel => self.shared.models.resolve(options),
        };
        Some(Self::new(&self.name, self.takes, self.documentation.clone(), &self.shared, &model).into())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<_> = args.args.iter().map(ColumnarValue::data_type).collect();
        let literals: Vec<_> = args.args.iter().map(literal).collect();
        let call = self.understand(&types.iter().collect::<Vec<_>>(), &literals)?;
        let is_scalar = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_scalar { 1 } else { args.number_rows };
        let texts = args.args[0].to_array(rows)?;
        let labels = args.args.get(1).map(|labels| labels.to_array(rows)).transpose()?;
        let result = self.run(&call, &texts, labels.as_ref(), &args.config_options)?;
        Ok(if is_scalar {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.documentation.as_ref()
    }
}

fn literal(argument: &ColumnarValue) -> Option<&ScalarValue> {
    match argument {
        ColumnarValue::Scalar(scalar) => Some(scalar),
        ColumnarValue::Array(_) => None,
    }
}

impl Call {
    fn data_type(&self) -> Result<DataType> {
        Ok(match self.gives {
            Gives::ScoreOfRow => DataType::Float32,
            Gives::Output(output) => data_type(output, &*self.model.classifier()?),
        })
    }

    fn is_nullable(&self) -> bool {
        match self.gives {
            Gives::ScoreOfRow => true,
            Gives::Output(output) => is_nullable(output),
        }
    }
}
