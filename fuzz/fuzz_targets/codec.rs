//! Decodes functions and nodes of plans from bytes that a stranger may have sent.
//!
//! An input is the target's kind, then either edits of a valid message or a message from scratch.
#![no_main]

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::execution::{SessionStateBuilder, TaskContext};
use datafusion::logical_expr::{EmptyRelation, LogicalPlan, ScalarUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::SessionContext;
use datafusion_emotion::emotion_classifier::Classifier;
use datafusion_emotion::{EmotionExt, EmotionLogicalCodec, EmotionPhysicalCodec};
use datafusion_proto::logical_plan::{DefaultLogicalExtensionCodec, LogicalExtensionCodec};
use datafusion_proto::physical_plan::{
    DefaultPhysicalExtensionCodec, DefaultPhysicalProtoConverter, PhysicalExtensionCodec,
};
use emotion_fuzz::edit::edited;
use emotion_fuzz::golden;
use libfuzzer_sys::fuzz_target;

const MAGIC: &[u8] = b"datafusion-emotion\x01";

struct Codecs {
    logical: EmotionLogicalCodec,
    physical: EmotionPhysicalCodec,
    context: Arc<TaskContext>,
    plan: LogicalPlan,
    exec: Arc<dyn ExecutionPlan>,
    /// A valid message: a function.
    function: Vec<u8>,
}

static CODECS: LazyLock<Codecs> = LazyLock::new(|| {
    let classifier = Arc::new(Classifier::load(golden("gelu-json")).expect("a golden model"));
    let state = SessionStateBuilder::new().with_default_features().with_emotion_model("golden", classifier).build();
    let context = SessionContext::new_with_state(state);
    let classify: Arc<ScalarUDF> = context.state().scalar_functions()["emotion_classify"].clone();
    let logical = EmotionLogicalCodec::new(Arc::new(DefaultLogicalExtensionCodec {}), "here");
    let mut function = Vec::new();
    logical.try_encode_udf(&classify, &mut function).expect("a message");
    Codecs {
        logical,
        physical: EmotionPhysicalCodec::new(Arc::new(DefaultPhysicalExtensionCodec {}), "here"),
        context: context.task_ctx(),
        plan: LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::new(DFSchema::empty()) }),
        exec: Arc::new(EmptyExec::new(Arc::new(Schema::empty()))),
        function,
    }
});

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    let codecs = &*CODECS;
    let message = if kind & 1 == 0 { edited(&codecs.function, rest) } else { [MAGIC, rest].concat() };
    // Errors are fine; panics are not.
    match kind >> 1 & 3 {
        0 => drop(codecs.logical.try_decode_udf("emotion_classify", &message)),
        1 => drop(codecs.physical.try_decode_udf("emotion_classify", &message)),
        2 => drop(codecs.logical.try_decode(&message, std::slice::from_ref(&codecs.plan), &codecs.context)),
        _ => {
            let inputs = [Arc::clone(&codecs.exec)];
            drop(codecs.physical.try_decode(&message, &inputs, &codecs.context, &DefaultPhysicalProtoConverter {}));
        }
    }
});
