use std::sync::Arc;

use datafusion::catalog::{TableFunction, TableFunctionImpl};
use datafusion::error::Result;
use datafusion::execution::{FunctionRegistry, SessionStateBuilder};
use datafusion::optimizer::Optimizer;
use emotion_classifier::{BackendChoice, Classifier, Compute};

use crate::function_factory::EmotionFunctionFactory;
use crate::functions::emotion_models::EmotionModels;
use crate::functions::emotion_stats::EmotionStats;
use crate::functions::scalar_udfs;
use crate::model::Model;
use crate::options::EmotionOptions;
use crate::planner::extract_inference::ExtractInference;
use crate::planner::first_pieces::SizeFirstPieces;
use crate::planner::query_planner::EmotionQueryPlanner;
use crate::shared::Shared;

/// Installs all of this crate into a session under construction.
///
/// ```
/// # #[cfg(feature = "default-model")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> datafusion::error::Result<()> {
/// use datafusion::execution::SessionStateBuilder;
/// use datafusion::prelude::SessionContext;
/// use datafusion_emotion::EmotionExt;
///
/// let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
/// let ctx = SessionContext::new_with_state(state);
/// let batches = ctx.sql("SELECT name FROM emotion_models()").await?.collect().await?;
/// assert_eq!(batches[0].num_rows(), 1);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "default-model"))]
/// # fn main() {}
/// ```
pub trait EmotionExt: Sized {
    /// Installs the functions, table functions, options, `CREATE FUNCTION … LANGUAGE DISTILBERT`, and the
    /// optimizer rule that infers each text once and only the texts that the query needs. Options that the
    /// configuration already holds are kept.
    ///
    /// Sets the session's query planner to DataFusion's with an
    /// [`InferencePlanner`](crate::InferencePlanner). An engine with a query planner of its own adds that
    /// extension planner to it and sets it after this call.
    #[must_use]
    fn with_emotion(self) -> Self;

    /// As [`Self::with_emotion`], with `classifier` as the session's model, under the name `name` in
    /// `emotion.model`. The session keeps the model for as long as it lives.
    #[must_use]
    fn with_emotion_model(self, name: &str, classifier: Arc<Classifier>) -> Self;
}

impl EmotionExt for SessionStateBuilder {
    fn with_emotion(mut self) -> Self {
        let options = EmotionOptions::of(self.config().get_or_insert_default().options()).cloned().unwrap_or_default();
        install(self, &Arc::default(), options)
    }

    fn with_emotion_model(self, name: &str, classifier: Arc<Classifier>) -> Self {
        let mut options = EmotionOptions::default();
        options.set_model(name);
        options.precision = classifier.precision();
        options.backend = backend_option(&classifier);
        options.device = classifier.device();
        options.max_length = Some(classifier.max_length());
        let shared = Shared::default();
        shared.models.keep(Model::given(name, classifier));
        install(self, &Arc::new(shared), options)
    }
}

/// The backend of a classifier as an option: `auto` if that resolves to the same backend, so that the option does not
/// choose the backend of the session's other models.
fn backend_option(classifier: &Classifier) -> BackendChoice {
    let Compute { backend, .. } = classifier.compute();
    let auto = classifier.compute().backend(BackendChoice::Auto).resolve(classifier.config().model_type);
    if auto.is_ok_and(|auto| auto.backend == backend) { BackendChoice::Auto } else { backend }
}

/// Registers the scalar functions of this crate, which use the model that is built in.
///
/// The model is loaded once per process, when a query first needs it. The functions have no options,
/// and the optimizer rule of [`EmotionExt::with_emotion`] is not installed: a query that is cancelled
/// finishes its current record batch, and every row of a batch is inferred.
///
/// # Errors
///
/// The registry refuses a function.
#[cfg(feature = "default-model")]
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    register(registry, &Model::built_in())
}

/// Registers the scalar functions of this crate, which use `classifier`.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use datafusion::prelude::SessionContext;
/// use datafusion_emotion::emotion_classifier::Classifier;
///
/// let classifier = Arc::new(Classifier::load("path/to/model")?);
/// let mut ctx = SessionContext::new();
/// datafusion_emotion::register_all_with(&mut ctx, classifier)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The registry refuses a function.
pub fn register_all_with(registry: &mut dyn FunctionRegistry, classifier: Arc<Classifier>) -> Result<()> {
    register(registry, &Model::given("given", classifier))
}

fn register(registry: &mut dyn FunctionRegistry, model: &Arc<Model>) -> Result<()> {
    for udf in scalar_udfs(&Arc::default(), model) {
        registry.register_udf(udf)?;
    }
    Ok(())
}

fn install(mut builder: SessionStateBuilder, shared: &Arc<Shared>, options: EmotionOptions) -> SessionStateBuilder {
    let functions = scalar_udfs(shared, &shared.models.resolve(&options));
    builder.scalar_functions().get_or_insert_default().extend(functions);
    let tables: [(&str, Arc<dyn TableFunctionImpl>); 2] = [
        ("emotion_models", Arc::new(EmotionModels { shared: Arc::clone(shared) })),
        ("emotion_stats", Arc::new(EmotionStats { shared: Arc::clone(shared) })),
    ];
    for (name, function) in tables {
        let function = Arc::new(TableFunction::new(name.into(), function));
        builder.table_functions().get_or_insert_default().insert(name.into(), function);
    }
    let others = builder.function_factory().take();
    *builder.function_factory() = Some(Arc::new(EmotionFunctionFactory::new(Arc::clone(shared), others)));
    ExtractInference::install(shared, builder.optimizer().get_or_insert_with(Optimizer::new));
    builder.config().get_or_insert_default().options_mut().extensions.insert(options);
    builder.with_query_planner(Arc::new(EmotionQueryPlanner)).with_physical_optimizer_rule(Arc::new(SizeFirstPieces))
}
