use std::sync::Arc;

use arrow::datatypes::{DataType, Fields};
use async_trait::async_trait;
use datafusion::common::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::{FunctionFactory, RegisterFunction, SessionState};
use datafusion::logical_expr::{CreateFunction, DocSection, Documentation, Expr};
use emotion_classifier::Classifier;

use crate::annotation::{Output, data_type};
use crate::error::Error;
use crate::functions::text_function::{Takes, TextFunction};
use crate::model::Model;
use crate::options::EmotionOptions;
use crate::shared::Shared;
use crate::text_column::is_text;

/// The languages of functions that run a model. They mean the same: the model's folder says what it is.
const LANGUAGES: [&str; 9] =
    ["DISTILBERT", "TRANSFORMER", "BERT", "ROBERTA", "XLM_ROBERTA", "CAMEMBERT", "ELECTRA", "MODERNBERT", "DEBERTA"];

/// Makes functions of models: `CREATE FUNCTION … LANGUAGE DISTILBERT AS '<folder or hub id>'`.
#[derive(Debug)]
pub(crate) struct EmotionFunctionFactory {
    shared: Arc<Shared>,
    /// Makes the functions in other languages, if the engine has any.
    others: Option<Arc<dyn FunctionFactory>>,
}

impl EmotionFunctionFactory {
    pub(crate) fn new(shared: Arc<Shared>, others: Option<Arc<dyn FunctionFactory>>) -> Self {
        Self { shared, others }
    }

    fn function(&self, statement: &CreateFunction, classifier: Arc<Classifier>) -> Result<TextFunction, Error> {
        let output = output(statement.return_type.as_ref(), &classifier).map_err(|e| wrong(statement, e))?;
        let model = Model::given(&statement.name, classifier);
        self.shared.models.name(&model);
        let documentation = documentation(statement, &model)?;
        Ok(TextFunction::new(&statement.name, Takes::Fixed(output), Some(documentation), &self.shared, &model))
    }
}

#[async_trait]
impl FunctionFactory for EmotionFunctionFactory {
    async fn create(&self, state: &SessionState, statement: CreateFunction) -> Result<RegisterFunction> {
        let language = statement.params.language.as_ref().map(|language| language.value.as_str());
        if !language.is_some_and(is_model) {
            return match &self.others {
                Some(others) => others.create(state, statement).await,
                None => {
                    Err(wrong(&statement, format!("say LANGUAGE {}: there are no others", LANGUAGES.join(" or ")))
                        .into())
                }
            };
        }
        if state.scalar_functions().contains_key(&statement.name) && !statement.or_replace {
            let reason = "there is such a function already; CREATE OR REPLACE FUNCTION replaces it";
            return Err(wrong(&statement, reason).into());
        }
        if statement.name == Model::BUILT_IN {
            return Err(wrong(&statement, "that is the name of the built-in model").into());
        }
        check_arguments(&statement)?;
        let source = source(&statement)?;
        let compute = options(state.config_options()).compute();
        let load = tokio::task::spawn_blocking(move || Classifier::shared(&source, compute));
        let classifier = load.await.map_err(|e| DataFusionError::External(Box::new(e)))?.map_err(Error::from)?;
        Ok(RegisterFunction::Scalar(Arc::new(self.function(&statement, classifier)?.into())))
    }
}

fn is_model(language: &str) -> bool {
    LANGUAGES.iter().any(|known| known.eq_ignore_ascii_case(language))
}

fn options(config: &ConfigOptions) -> EmotionOptions {
    EmotionOptions::of(config).cloned().unwrap_or_default()
}

fn wrong(statement: &CreateFunction, reason: impl Into<String>) -> Error {
    Error::CreateFunction { name: statement.name.clone(), reason: reason.into() }
}

fn check_arguments(statement: &CreateFunction) -> Result<(), Error> {
    match statement.args.as_deref() {
        Some([text]) if is_text(&text.data_type) => Ok(()),
        _ => Err(wrong(statement, "it must take one argument of type STRING, the text")),
    }
}

/// The folder or hub id after `AS` or `RETURN`.
fn source(statement: &CreateFunction) -> Result<String, Error> {
    let body = statement.params.function_body.as_ref();
    let literal = body.and_then(Expr::as_literal).and_then(|literal| literal.try_as_str().flatten());
    let source = literal.ok_or_else(|| wrong(statement, "say AS '<folder or hub id>'"))?;
    Ok(source.into())
}

/// What the function gives, by the type that it is said to return.
fn output(returns: Option<&DataType>, classifier: &Classifier) -> Result<Output, String> {
    match returns {
        None | Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => Ok(Output::Label),
        Some(DataType::Float32) => Ok(Output::Score),
        Some(DataType::List(item)) if is_text(item.data_type()) => Ok(Output::Labels),
        Some(DataType::Struct(fields)) => struct_output(fields, classifier),
        Some(other) => Err(format!(
            "it cannot return {other}: STRING gives the label, REAL its score, STRING[] all labels that hold, {} all \
             scores, and {} the annotation",
            sql_type(&data_type(Output::Scores, classifier)),
            sql_type(&data_type(Output::Annotation, classifier)),
        )),
    }
}

fn struct_output(fields: &Fields, classifier: &Classifier) -> Result<Output, String> {
    let choices = [Output::Scores, Output::Annotation];
    let said = DataType::Struct(fields.clone());
    choices.into_iter().find(|output| fits(&said, &data_type(*output, classifier))).ok_or_else(|| {
        format!(
            "no struct of these fields can be returned: all scores are {}, the annotation is {}",
            sql_type(&data_type(Output::Scores, classifier)),
            sql_type(&data_type(Output::Annotation, classifier)),
        )
    })
}

/// Whether a type that was written in SQL can stand for one of ours: any string type is one.
fn fits(said: &DataType, ours: &DataType) -> bool {
    match (said, ours) {
        (DataType::Struct(said), DataType::Struct(ours)) => {
            let pairs = || said.iter().zip(ours);
            said.len() == ours.len()
                && pairs().all(|(said, ours)| said.name() == ours.name() && fits(said.data_type(), ours.data_type()))
        }
        _ => said == ours || (is_text(said) && is_text(ours)),
    }
}

/// A type of ours as one writes it in SQL.
fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|field| format!("\"{}\" {}", field.name(), sql_type(field.data_type()))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        DataType::Float32 => "REAL".into(),
        DataType::Int32 => "INT".into(),
        DataType::Boolean => "BOOLEAN".into(),
        _ => "STRING".into(),
    }
}

fn documentation(statement: &CreateFunction, model: &Model) -> Result<Documentation, Error> {
    let classifier = model.classifier()?;
    let description = format!("Runs the model at '{}' over a text; its labels are {}.", classifier.origin(), {
        let labels: Vec<_> = classifier.labels().iter().map(|label| &**label).collect();
        labels.join(", ")
    });
    let section = DocSection { include: true, label: "Emotion Functions", description: None };
    let syntax = format!("{}(text)", statement.name);
    Ok(Documentation::builder(section, description, syntax)
        .with_argument("text", "A string: the text to classify. NULL gives NULL.")
        .build())
}
