//! Plans for other machines: what this crate puts into them, as bytes and back.
//!
//! A plan holds functions and inference nodes, and these hold models. A model travels as the place that it was loaded
//! from and the digests of its files, and is loaded where a text is to be classified, when the first one is.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, Extension, LogicalPlan, ScalarUDF, ScalarUDFImpl, WindowUDF};
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
use emotion_classifier::{Origin, ProblemType};
use prost::Message;

use crate::annotation::Output;
use crate::error::Error;
use crate::functions::labels_of_annotation::LabelsOfAnnotation;
use crate::functions::text_function::{Takes, TextFunction};
use crate::model::{ComputeNames, Model, ReceivedModel};
use crate::planner::inference_exec::{InferenceExec, InferredColumn};
use crate::planner::inference_node::{AnnotationColumn, InferenceNode};
use crate::shared::Shared;
use crate::usage::Usage;

/// What bytes of this crate begin with, so that those of other codecs are told apart.
const MAGIC: &[u8] = b"datafusion-emotion\x02";

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
    /// A codec on a machine that errors call `machine`.
    #[must_use]
    pub fn new(others: Arc<dyn LogicalExtensionCodec>, machine: impl Into<String>) -> Self {
        Self { others, receiver: Receiver::new(machine.into()) }
    }

    /// Loads models of plans from these folders alone, and from those in them. Without it, a plan may name any folder.
    #[must_use]
    pub fn with_model_folders(mut self, folders: Vec<PathBuf>) -> Self {
        self.receiver.folders = Some(folders.into());
        self
    }
}

impl EmotionPhysicalCodec {
    /// A codec on a machine that errors call `machine`.
    #[must_use]
    pub fn new(others: Arc<dyn PhysicalExtensionCodec>, machine: impl Into<String>) -> Self {
        Self { others, receiver: Receiver::new(machine.into()) }
    }

    /// Loads models of plans from these folders alone, and from those in them. Without it, a plan may name any folder.
    #[must_use]
    pub fn with_model_folders(mut self, folders: Vec<PathBuf>) -> Self {
        self.receiver.folders = Some(folders.into());
        self
    }
}

/// The version of this project, which all machines must have.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Clone, PartialEq, Eq, Message)]
struct ModelMessage {
    #[prost(string, tag = "1")]
    name: String,
    /// A folder or a hub id; none for the built-in model.
    #[prost(string, optional, tag = "2")]
    source: Option<String>,
    #[prost(string, tag = "3")]
    precision: String,
    #[prost(string, tag = "4")]
    model_sha256: String,
    /// See [`Compute::arithmetic`](emotion_classifier::Compute::arithmetic).
    #[prost(string, tag = "5")]
    arithmetic: String,
    #[prost(string, tag = "6")]
    backend: String,
    #[prost(string, tag = "7")]
    device: String,
    #[prost(string, tag = "8")]
    version: String,
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
    #[prost(message, repeated, tag = "1")]
    columns: Vec<NodeColumnMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeColumnMessage {
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
    #[prost(message, repeated, tag = "1")]
    columns: Vec<ExecColumnMessage>,
    #[prost(bool, tag = "2")]
    begins_small: bool,
}

#[derive(Clone, PartialEq, Message)]
struct ExecColumnMessage {
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
        let name = model.name().into();
        if let Some(received) = model.as_received() {
            let ComputeNames { precision, backend, device } = ComputeNames::of(received.compute);
            return Ok(Self {
                name,
                source: received.folder_or_id.clone(),
                precision,
                backend,
                device,
                model_sha256: received.model_sha256.clone(),
                arithmetic: received.arithmetic.clone(),
                version: VERSION.into(),
            });
        }
        let classifier = model.classifier()?;
        let source = match classifier.origin() {
            Origin::Folder(folder) => Some(std::path::absolute(folder).unwrap_or_else(|_| PathBuf::from(folder))),
            Origin::Hub(id) => Some(id.into()),
            _ => None,
        };
        let ComputeNames { precision, backend, device } = ComputeNames::of(classifier.compute());
        Ok(Self {
            name,
            source: source.map(|source| source.display().to_string()),
            precision,
            backend,
            device,
            model_sha256: classifier.model_sha256(),
            arithmetic: classifier.compute().arithmetic().into(),
            version: VERSION.into(),
        })
    }

    /// # Errors
    ///
    /// The plan is malformed: it names a precision, a backend or a device that this version does not have, or none.
    fn receive(self, machine: &str, folders: Option<&Arc<[PathBuf]>>) -> Result<Arc<Model>> {
        let Self { name, source, precision, model_sha256, arithmetic, backend, device, version } = self;
        if version != VERSION {
            let version = if version.is_empty() { "an earlier version" } else { &version };
            let what = format!("the plan was written by {version}, and {machine} has {VERSION}");
            return Err(DataFusionError::Plan(format!("{what}: run the same version on all machines")));
        }
        let names = ComputeNames { precision, backend, device };
        let compute =
            names.parse().map_err(|reason| malformed(&format!("the model '{name}' of the plan ({reason})")))?;
        let received = ReceivedModel {
            folder_or_id: source,
            folders: folders.cloned(),
            compute,
            model_sha256,
            arithmetic,
            machine: machine.into(),
            classifier: OnceLock::new(),
        };
        Ok(Model::received(&name, received))
    }
}

/// Models that a receiver keeps loaded between plans.
const KEPT_MODELS: usize = 4;

/// The models of the latest plans, so that the next plan over one of them finds it loaded.
#[derive(Debug)]
struct Receiver {
    /// What errors call this machine.
    machine: String,
    /// The folders that models are loaded from; any if there is none.
    folders: Option<Arc<[PathBuf]>>,
    /// The latest used last.
    models: Mutex<Vec<(ModelMessage, Arc<Model>)>>,
    usage: Arc<Usage>,
}

impl Receiver {
    fn new(machine: String) -> Self {
        Self { machine, folders: None, models: Mutex::default(), usage: Arc::default() }
    }

    fn model(&self, message: ModelMessage) -> Result<Arc<Model>> {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = match models.iter().position(|(known, _)| *known == message) {
            Some(at) => models.remove(at),
            None => (message.clone(), message.receive(&self.machine, self.folders.as_ref())?),
        };
        let model = Arc::clone(&entry.1);
        models.push(entry);
        let excess = models.len().saturating_sub(KEPT_MODELS);
        models.drain(..excess);
        Ok(model)
    }

    /// The state of functions that name these models, which live as long as it does.
    fn shared(&self, models: Vec<ModelMessage>) -> Result<Arc<Shared>> {
        let shared = Shared { usage: Arc::clone(&self.usage), ..Shared::default() };
        for model in models {
            shared.models.keep(self.model(model)?);
        }
        Ok(Arc::new(shared))
    }

    fn function(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        let message: FunctionMessage = read(bytes)?;
        if let Some((problem_type, _)) = OF_ANNOTATION.iter().find(|(_, name)| *name == message.takes) {
            return Ok(Arc::new(LabelsOfAnnotation::new(*problem_type).into()));
        }
        let takes = takes_of(&message.takes).ok_or_else(|| malformed(name))?;
        let (model, shared) = (self.model(message.model)?, self.shared(message.models)?);
        Ok(Arc::new(TextFunction::new(name, takes, None, &shared, &model).into()))
    }
}

/// Writes a function if it is one of this crate.
fn write_function(function: &ScalarUDF, buffer: &mut Vec<u8>) -> Option<Result<()>> {
    let function = function.inner().as_ref() as &dyn std::any::Any;
    if let Some(function) = function.downcast_ref::<LabelsOfAnnotation>() {
        let (_, takes) = OF_ANNOTATION.iter().find(|(problem_type, _)| *problem_type == function.problem_type())?;
        write(&FunctionMessage { takes: (*takes).into(), ..FunctionMessage::default() }, buffer);
        return Some(Ok(()));
    }
    let function = function.downcast_ref::<TextFunction>()?;
    let message = || {
        let named = function.shared().models.all();
        let models = named.iter().filter(|model| model.name() != Model::BUILT_IN);
        Ok(FunctionMessage {
            takes: name_of(function.takes()).ok_or_else(|| unwritable(function))?.into(),
            model: ModelMessage::of(function.model())?,
            models: models.map(|model| ModelMessage::of(model)).collect::<Result<_, Error>>()?,
        })
    };
    Some(message().map(|message| write(&message, buffer)))
}

const TAKES: [(Takes, &str); 10] = [
    (Takes::Model(Output::Label), "label by model"),
    (Takes::Model(Output::Labels), "labels by model"),
    (Takes::Model(Output::Scores), "scores by model"),
    (Takes::Model(Output::Annotation), "annotation by model"),
    (Takes::LabelAndModel, "score by label and model"),
    (Takes::Fixed(Output::Label), "label"),
    (Takes::Fixed(Output::Labels), "labels"),
    (Takes::Fixed(Output::Score), "score"),
    (Takes::Fixed(Output::Scores), "scores"),
    (Takes::Fixed(Output::Annotation), "annotation"),
];

/// What stands for a [`LabelsOfAnnotation`].
const OF_ANNOTATION: [(ProblemType, &str); 2] = [
    (ProblemType::SingleLabel, "labels of single-label annotation"),
    (ProblemType::MultiLabel, "labels of multi-label annotation"),
];

fn name_of(takes: Takes) -> Option<&'static str> {
    TAKES.iter().find(|(known, _)| *known == takes).map(|(_, name)| *name)
}

fn unwritable(function: &TextFunction) -> DataFusionError {
    DataFusionError::Internal(format!("{} returns what a plan cannot carry", ScalarUDFImpl::name(function)))
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
        let columns = message.columns.into_iter().map(|NodeColumnMessage { text, model, column }| {
            let column = column_of(&column)?;
            Ok(AnnotationColumn {
                text: parse_expr(&text, ctx, self)?,
                model: self.receiver.model(model)?,
                name: column.name().clone(),
                annotation: column.data_type().clone(),
            })
        });
        let columns = columns.collect::<Result<_>>()?;
        let node = InferenceNode::try_new(input.clone(), columns, self.receiver.shared(Vec::new())?)?;
        Ok(Extension { node: Arc::new(node) })
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> Result<()> {
        let Some(node) = InferenceNode::of(node.node.as_ref()) else {
            return self.others.try_encode(node, buf);
        };
        let columns = node.columns.iter().map(|column| {
            Ok(NodeColumnMessage {
                text: serialize_expr(&column.text, self)?,
                model: ModelMessage::of(&column.model)?,
                column: schema_of(Field::new(&column.name, column.annotation.clone(), true))?,
            })
        });
        write(&NodeMessage { columns: columns.collect::<Result<_>>()? }, buf);
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
        let columns = message.columns.into_iter().map(|ExecColumnMessage { text, model, column }| {
            Ok(InferredColumn {
                text: proto_converter.proto_to_physical_expr(&text, &input.schema(), &decoding)?,
                model: self.receiver.model(model)?,
                field: column_of(&column)?,
            })
        });
        let columns = columns.collect::<Result<_>>()?;
        let exec = InferenceExec::adding(Arc::clone(input), columns, &self.receiver.shared(Vec::new())?);
        Ok(Arc::new(exec.beginning_small(message.begins_small)))
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
        let columns = exec.columns().iter().map(|column| {
            Ok(ExecColumnMessage {
                text: proto_converter.physical_expr_to_proto(&column.text, self)?,
                model: ModelMessage::of(&column.model)?,
                column: schema_of(column.field.as_ref().clone())?,
            })
        });
        let columns = columns.collect::<Result<_>>()?;
        write(&ExecMessage { columns, begins_small: exec.begins_small() }, buf);
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

#[cfg(test)]
mod tests {
    use emotion_classifier::{BackendChoice, Compute, Device, Precision};

    use super::*;

    fn message(name: &str) -> ModelMessage {
        let ComputeNames { precision, backend, device } = ComputeNames::of(Compute::default());
        let source = Some(format!("models/{name}"));
        ModelMessage {
            name: name.into(),
            source,
            precision,
            backend,
            device,
            version: VERSION.into(),
            ..ModelMessage::default()
        }
    }

    #[test]
    fn a_receiver_keeps_the_latest_models_alone() {
        let receiver = Receiver::new("here".into());
        let names: Vec<String> = (0..100).map(|number| format!("model {number}")).collect();
        let models: Vec<_> = names.iter().map(|name| receiver.model(message(name)).unwrap()).collect();
        assert_eq!(receiver.models.lock().unwrap().len(), KEPT_MODELS);
        let again = receiver.model(message(&names[97])).unwrap();
        assert!(Arc::ptr_eq(&again, &models[97]));
        let _ = receiver.model(message("one more")).unwrap();
        assert!(
            Arc::ptr_eq(&receiver.model(message(&names[97])).unwrap(), &models[97]),
            "it was used after the others"
        );
        assert!(!Arc::ptr_eq(&receiver.model(message(&names[0])).unwrap(), &models[0]));
    }

    #[test]
    fn the_models_that_a_function_names_live_as_long_as_it_does() {
        let receiver = Receiver::new("here".into());
        let names: Vec<String> = (0..10).map(|number| format!("model {number}")).collect();
        let shared = receiver.shared(names.iter().map(|name| message(name)).collect()).unwrap();
        for name in &names {
            assert!(shared.models.get(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn plans_of_other_versions_are_refused() {
        for version in ["", "55.1.9"] {
            let message = ModelMessage { version: version.into(), ..message("a") };
            let error = Receiver::new("executor 3".into()).model(message).unwrap_err().to_string();
            assert!(error.contains("and executor 3 has") && error.contains("the same version"), "{error}");
        }
    }

    #[test]
    fn models_are_loaded_from_the_given_folders_alone() {
        let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
        let error = |folders: Vec<PathBuf>, model: &str| {
            let receiver = Receiver { folders: Some(folders.into()), ..Receiver::new("here".into()) };
            let source = Some(golden.join(model).display().to_string());
            let model = receiver.model(ModelMessage { source, ..message("a") }).unwrap();
            model.classifier().map(|_| ()).unwrap_err().to_string()
        };
        // The digest is checked after the folder, and is none in this message.
        let other = "another model than the query was written with";
        assert!(error(vec![golden.clone()], "one-head").contains(other));
        assert!(error(vec![golden.join("one-head")], "one-head").contains(other));
        for (folders, model) in [
            (vec![], "one-head"),
            (vec![golden.join("bert")], "one-head"),
            (vec![golden.join("one")], "one-head"),
            (vec![golden.join("bert")], "bert/../one-head"),
        ] {
            let error = error(folders, model);
            assert!(error.contains("none of the folders of models of this server"), "{error}");
        }
    }

    #[test]
    fn a_way_of_computing_is_read_as_it_was_written() {
        let compute = Compute::from(Precision::Int8).backend(BackendChoice::Candle).device(Device::Cuda(1));
        let ComputeNames { precision, backend, device } = ComputeNames::of(compute);
        let written = ModelMessage { precision, backend, device, ..message("a") }.encode_to_vec();
        let model = ModelMessage::decode(&*written).unwrap().receive("here", None).unwrap();
        let received = model.as_received().unwrap();
        assert_eq!(received.compute, compute);
    }

    #[test]
    fn a_model_without_a_backend_or_a_device_is_malformed() {
        let receiver = Receiver::new("here".into());
        for message in [
            ModelMessage { backend: String::new(), ..message("a") },
            ModelMessage { device: String::new(), ..message("a") },
            ModelMessage { precision: "int4".into(), ..message("a") },
        ] {
            let error = receiver.model(message).unwrap_err().to_string();
            assert!(error.contains("the model 'a' of the plan"), "{error}");
            assert!(error.ends_with("cannot be read: run the same version on all machines"), "{error}");
        }
    }

    #[test]
    fn a_kind_of_function_is_read_as_it_was_written() {
        for (takes, name) in TAKES {
            assert_eq!((name_of(takes), takes_of(name)), (Some(name), Some(takes)));
        }
        assert_eq!(name_of(Takes::Fixed(Output::ScoreOf(0))), None);
        assert_eq!(takes_of(""), None);
    }
}
