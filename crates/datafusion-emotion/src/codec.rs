//! Plans for other machines: what this crate puts into them, as bytes and back.
//!
//! A plan holds functions and inference nodes, and these hold models. A model travels as the place that it was loaded
//! from and the digests of its files, and is loaded where a text is to be classified, when the first one is.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, Extension, LogicalPlan, ScalarUDF, WindowUDF};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::proto_decode::PhysicalExprDecodeCtx;
use datafusion::physical_expr_common::physical_expr::proto_encode::PhysicalExprEncodeCtx;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::logical_plan::from_proto::parse_expr;
use datafusion_proto::logical_plan::to_proto::serialize_expr;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use emotion_classifier::{Classifier, Origin};
use prost::Message;

use crate::Error;
use crate::annotation::Output;
use crate::functions::text_function::{Takes, TextFunction};
use crate::model::{Model, Models};
use crate::planner::{InferenceExec, InferenceNode};
use crate::session::Session;
use crate::usage::Usage;

/// What bytes of this crate begin with, so that those of other codecs are told apart.
const MAGIC: &[u8] = b"datafusion-emotion\x01";

/// Writes and reads the functions and nodes of this crate in logical plans, and leaves all else to another codec.
///
/// ```
/// use std::sync::Arc;
///
/// use datafusion_emotion::EmotionLogicalCodec;
/// use datafusion_proto::logical_plan::DefaultLogicalExtensionCodec;
///
/// let codec = EmotionLogicalCodec::new(Arc::new(DefaultLogicalExtensionCodec {}), "the scheduler");
/// ```
#[derive(Debug)]
pub struct EmotionLogicalCodec {
    others: Arc<dyn LogicalExtensionCodec>,
    receiver: Receiver,
}

/// Writes and reads the functions and nodes of this crate in physical plans, and leaves all else to another codec.
///
/// ```
/// use std::sync::Arc;
///
/// use datafusion_emotion::EmotionPhysicalCodec;
/// use datafusion_proto::physical_plan::DefaultPhysicalExtensionCodec;
///
/// let codec = EmotionPhysicalCodec::new(Arc::new(DefaultPhysicalExtensionCodec {}), "executor 3");
/// ```
#[derive(Debug)]
pub struct EmotionPhysicalCodec {
    others: Arc<dyn PhysicalExtensionCodec>,
    receiver: Receiver,
}

impl EmotionLogicalCodec {
    /// A codec on a machine that errors call `place`.
    #[must_use]
    pub fn new(others: Arc<dyn LogicalExtensionCodec>, place: impl Into<String>) -> Self {
        Self { others, receiver: Receiver::new(place.into()) }
    }
}

impl EmotionPhysicalCodec {
    /// A codec on a machine that errors call `place`.
    #[must_use]
    pub fn new(others: Arc<dyn PhysicalExtensionCodec>, place: impl Into<String>) -> Self {
        Self { others, receiver: Receiver::new(place.into()) }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
struct ModelMessage {
    #[prost(string, tag = "1")]
    name: String,
    /// A folder or a hub id; none for the built-in model.
    #[prost(string, optional, tag = "2")]
    source: Option<String>,
    #[prost(string, tag = "3")]
    precision: String,
    #[prost(string, tag = "4")]
    weights_sha256: String,
    #[prost(string, tag = "5")]
    tokenizer_sha256: String,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionMessage {
    #[prost(string, tag = "1")]
    takes: String,
    #[prost(message, required, tag = "2")]
    model: ModelMessage,
    /// All that an argument may name.
    #[prost(message, repeated, tag = "3")]
    models: Vec<ModelMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeMessage {
    #[prost(message, required, tag = "1")]
    text: protobuf::LogicalExprNode,
    #[prost(message, required, tag = "2")]
    model: ModelMessage,
    /// The column that is added; so that reading the plan takes no model.
    #[prost(message, required, tag = "3")]
    column: protobuf::Schema,
}

#[derive(Clone, PartialEq, Message)]
struct ExecMessage {
    #[prost(message, required, tag = "1")]
    text: protobuf::PhysicalExprNode,
    #[prost(message, required, tag = "2")]
    model: ModelMessage,
    /// Likewise.
    #[prost(message, required, tag = "3")]
    column: protobuf::Schema,
}

impl ModelMessage {
    fn of(model: &Model) -> Result<Self, Error> {
        if let Some(received) = model.as_received() {
            return Ok(received.message.clone());
        }
        let classifier = model.classifier()?;
        let source = match classifier.origin() {
            Origin::Folder(folder) => Some(std::path::absolute(folder).unwrap_or_else(|_| PathBuf::from(folder))),
            Origin::Hub(id) => Some(id.into()),
            _ => None,
        };
        Ok(Self {
            name: model.name().into(),
            source: source.map(|source| source.display().to_string()),
            precision: classifier.precision().to_string(),
            weights_sha256: classifier.weights_sha256(),
            tokenizer_sha256: classifier.tokenizer_sha256(),
        })
    }
}

/// A model that came with a plan.
pub(crate) struct ReceivedModel {
    message: ModelMessage,
    /// The machine that this is.
    place: String,
    classifier: OnceLock<Arc<Classifier>>,
}

impl ReceivedModel {
    pub(crate) fn classifier(&self) -> Result<Arc<Classifier>, Error> {
        if let Some(classifier) = self.classifier.get() {
            return Ok(Arc::clone(classifier));
        }
        let classifier = self.load()?;
        Ok(Arc::clone(self.classifier.get_or_init(|| classifier)))
    }

    fn load(&self) -> Result<Arc<Classifier>, Error> {
        let model = &self.message;
        let lacks = |reason: String| Error::ModelNotThere {
            place: self.place.clone(),
            model: model.source.clone().unwrap_or_else(|| Model::BUILT_IN.into()),
            reason,
        };
        let classifier = match &model.source {
            None => Classifier::default_model(),
            Some(source) => {
                let precision = model.precision.parse().map_err(|e| lacks(format!("{e}")))?;
                Classifier::shared(source, precision)
            }
        };
        let classifier = classifier.map_err(|e| lacks(e.to_string()))?;
        let digests = (classifier.weights_sha256(), classifier.tokenizer_sha256());
        if digests != (model.weights_sha256.clone(), model.tokenizer_sha256.clone()) {
            return Err(lacks("what is there is another model than the query was written with".into()));
        }
        Ok(classifier)
    }
}

/// Models that came with plans, each loaded once a process.
#[derive(Debug)]
struct Receiver {
    place: String,
    models: Mutex<HashMap<ModelMessage, Arc<Model>>>,
    usage: Arc<Usage>,
}

impl Receiver {
    fn new(place: String) -> Self {
        Self { place, models: Mutex::default(), usage: Arc::default() }
    }

    fn model(&self, message: ModelMessage) -> Arc<Model> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let received = |message: &ModelMessage| {
            let (message, place) = (message.clone(), self.place.clone());
            let name = message.name.clone();
            Model::received(&name, ReceivedModel { message, place, classifier: OnceLock::new() })
        };
        let model = models.entry(message).or_insert_with_key(received);
        Arc::clone(model)
    }

    /// A session in which these models have their names.
    fn session(&self, models: Vec<ModelMessage>) -> Arc<Session> {
        let session = Session { models: Arc::new(Models::default()), usage: Arc::clone(&self.usage), options: None };
        for model in models {
            session.models.name(&self.model(model));
        }
        Arc::new(session)
    }

    fn function(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        let message: FunctionMessage = read(bytes)?;
        let takes = takes_of(&message.takes).ok_or_else(|| malformed(name))?;
        let (model, session) = (self.model(message.model), self.session(message.models));
        Ok(Arc::new(TextFunction::new(name, takes, None, &session, &model).into()))
    }
}

/// Writes a function if it is one of this crate.
fn write_function(function: &ScalarUDF, buffer: &mut Vec<u8>) -> Option<Result<()>> {
    let function = (function.inner().as_ref() as &dyn std::any::Any).downcast_ref::<TextFunction>()?;
    let message = || {
        let named = function.session().models.all();
        let models = named.iter().filter(|model| model.name() != Model::BUILT_IN);
        Ok(FunctionMessage {
            takes: name_of(function.takes()).into(),
            model: ModelMessage::of(function.model())?,
            models: models.map(|model| ModelMessage::of(model)).collect::<Result<_, Error>>()?,
        })
    };
    Some(message().map(|message| write(&message, buffer)))
}

const TAKES: [(Takes, &str); 9] = [
    (Takes::Model(Output::Label), "label by model"),
    (Takes::Model(Output::Scores), "scores by model"),
    (Takes::Model(Output::Annotation), "annotation by model"),
    (Takes::LabelAndModel, "score by label and model"),
    (Takes::Fixed(Output::Label), "label"),
    (Takes::Fixed(Output::Labels), "labels"),
    (Takes::Fixed(Output::Score), "score"),
    (Takes::Fixed(Output::Scores), "scores"),
    (Takes::Fixed(Output::Annotation), "annotation"),
];

fn name_of(takes: Takes) -> &'static str {
    TAKES.iter().find(|(known, _)| *known == takes).map_or("", |(_, name)| name)
}

fn takes_of(name: &str) -> Option<Takes> {
    TAKES.iter().find(|(_, known)| *known == name).map(|(takes, _)| *takes)
}

fn is_ours(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

fn write(message: &impl Message, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(MAGIC);
    buffer.extend(message.encode_to_vec());
}

fn read<M: Message + Default>(bytes: &[u8]) -> Result<M> {
    let message = bytes.strip_prefix(MAGIC).and_then(|bytes| M::decode(bytes).ok());
    message.ok_or_else(|| malformed("the plan"))
}

fn schema_of(column: Field) -> Result<protobuf::Schema> {
    Ok((&Schema::new(vec![column])).try_into()?)
}

fn column_of(schema: &protobuf::Schema) -> Result<FieldRef> {
    let schema = Schema::try_from(schema)?;
    schema.fields().first().cloned().ok_or_else(|| malformed("an inference"))
}

fn malformed(what: &str) -> DataFusionError {
    DataFusionError::Plan(format!("{what} cannot be read: run the same version on all machines"))
}

impl LogicalExtensionCodec for EmotionLogicalCodec {
    fn try_decode(&self, buf: &[u8], inputs: &[LogicalPlan], ctx: &TaskContext) -> Result<Extension> {
        if !is_ours(buf) {
            return self.others.try_decode(buf, inputs, ctx);
        }
        let message: NodeMessage = read(buf)?;
        let [input] = inputs else { return Err(malformed("an inference node")) };
        let text = parse_expr(&message.text, ctx, self)?;
        let model = self.receiver.model(message.model);
        let session = self.receiver.session(Vec::new());
        let column = column_of(&message.column)?;
        let (name, annotation) = (column.name().clone(), column.data_type().clone());
        let node = InferenceNode::named(input.clone(), text, model, session, name, annotation)?;
        Ok(Extension { node: Arc::new(node) })
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> Result<()> {
        let Some(node) = InferenceNode::of(node.node.as_ref()) else {
            return self.others.try_encode(node, buf);
        };
        let text = serialize_expr(&node.text, self)?;
        let column = schema_of(Field::new(node.column_name(), node.annotation().clone(), true))?;
        let message = NodeMessage { text, model: ModelMessage::of(&node.model)?, column };
        write(&message, buf);
        Ok(())
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        table_ref: &TableReference,
        schema: SchemaRef,
        ctx: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        self.others.try_decode_table_provider(buf, table_ref, schema, ctx)
    }

    fn try_encode_table_provider(
        &self,
        table_ref: &TableReference,
        node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        self.others.try_encode_table_provider(table_ref, node, buf)
    }

    fn try_decode_file_format(&self, buf: &[u8], ctx: &TaskContext) -> Result<Arc<dyn FileFormatFactory>> {
        self.others.try_decode_file_format(buf, ctx)
    }

    fn try_encode_file_format(&self, buf: &mut Vec<u8>, node: Arc<dyn FileFormatFactory>) -> Result<()> {
        self.others.try_encode_file_format(buf, node)
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        if is_ours(buf) { self.receiver.function(name, buf) } else { self.others.try_decode_udf(name, buf) }
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        write_function(node, buf).unwrap_or_else(|| self.others.try_encode_udf(node, buf))
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.others.try_decode_udaf(name, buf)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.others.try_encode_udaf(node, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.others.try_decode_udwf(name, buf)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.others.try_encode_udwf(node, buf)
    }
}

impl PhysicalExtensionCodec for EmotionPhysicalCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !is_ours(buf) {
            return self.others.try_decode(buf, inputs, ctx, proto_converter);
        }
        let message: ExecMessage = read(buf)?;
        let [input] = inputs else { return Err(malformed("an inference")) };
        let decoding = PhysicalPlanDecodeContext::new(ctx, self);
        let text = proto_converter.proto_to_physical_expr(&message.text, &input.schema(), &decoding)?;
        let column = column_of(&message.column)?;
        let model = self.receiver.model(message.model);
        let session = self.receiver.session(Vec::new());
        Ok(Arc::new(InferenceExec::adding(Arc::clone(input), text, column, &model, &session)))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        proto_converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(exec) = InferenceExec::of(node.as_ref()) else {
            return self.others.try_encode(node, buf, proto_converter);
        };
        let message = ExecMessage {
            text: proto_converter.physical_expr_to_proto(exec.text(), self)?,
            model: ModelMessage::of(exec.model())?,
            column: schema_of(exec.column().clone())?,
        };
        write(&message, buf);
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        if is_ours(buf) { self.receiver.function(name, buf) } else { self.others.try_decode_udf(name, buf) }
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        write_function(node, buf).unwrap_or_else(|| self.others.try_encode_udf(node, buf))
    }

    fn try_decode_expr(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn PhysicalExpr>],
        ctx: &PhysicalExprDecodeCtx<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        self.others.try_decode_expr(buf, inputs, ctx)
    }

    fn try_encode_expr(
        &self,
        node: &Arc<dyn PhysicalExpr>,
        buf: &mut Vec<u8>,
        ctx: &PhysicalExprEncodeCtx<'_>,
    ) -> Result<()> {
        self.others.try_encode_expr(node, buf, ctx)
    }

    fn try_decode_udaf(&self, name: &str, buf: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.others.try_decode_udaf(name, buf)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.others.try_encode_udaf(node, buf)
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        self.others.try_decode_udwf(name, buf)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.others.try_encode_udwf(node, buf)
    }
}
