use std::sync::Arc;

use datafusion::catalog::{TableFunction, TableFunctionImpl};
use datafusion::execution::SessionStateBuilder;
use datafusion::optimizer::Optimizer;
use emotion_classifier::Classifier;

use crate::function_factory::EmotionFunctionFactory;
use crate::functions::emotion_models::EmotionModels;
use crate::functions::emotion_stats::EmotionStats;
use crate::functions::scalar_udfs;
use crate::model::{Model, Models};
use crate::options::EmotionOptions;
use crate::planner::{EmotionQueryPlanner, ExtractInference};
use crate::usage::Usage;

/// What the functions of one session share.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub models: Arc<Models>,
    pub usage: Arc<Usage>,
    /// For an engine whose configuration holds none.
    pub options: Option<EmotionOptions>,
}

/// Installs all of this crate into a session under construction.
///
/// ```
/// use datafusion::execution::SessionStateBuilder;
/// use datafusion::prelude::SessionContext;
/// use datafusion_emotion::EmotionExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> datafusion::error::Result<()> {
/// let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
/// let ctx = SessionContext::new_with_state(state);
/// let batches = ctx.sql("SELECT name FROM emotion_models()").await?.collect().await?;
/// assert_eq!(batches[0].num_rows(), 1);
/// # Ok(())
/// # }
/// ```
pub trait EmotionExt: Sized {
    /// Installs functions, table functions, options, `CREATE FUNCTION … LANGUAGE DISTILBERT` and the
    /// planning that infers each text once, and none that the query does not need. Options that the configuration
    /// holds already stay as they are.
    ///
    /// Sets the session's query planner, which is DataFusion's with an
    /// [`InferencePlanner`](crate::InferencePlanner). An engine with a planner of its own gives it
    /// that extension planner too, and sets it after this call.
    #[must_use]
    fn with_emotion(self) -> Self;

    /// The same with a model of one's own in place of the built-in one, under `emotion.model`.
    #[must_use]
    fn with_emotion_model(self, name: &str, classifier: Arc<Classifier>) -> Self;
}

impl EmotionExt for SessionStateBuilder {
    fn with_emotion(mut self) -> Self {
        let options = EmotionOptions::of(self.config().get_or_insert_default().options()).cloned().unwrap_or_default();
        let session = Arc::new(Session { models: Arc::clone(&options.models), ..Session::default() });
        install(self, &session, options)
    }

    fn with_emotion_model(self, name: &str, classifier: Arc<Classifier>) -> Self {
        let session = Arc::<Session>::default();
        let mut options = EmotionOptions::new(Arc::clone(&session.models));
        options.precision = classifier.precision();
        options.classify.max_length = Some(classifier.max_length());
        options.model = Model::given(name, classifier);
        session.models.name(&options.model);
        install(self, &session, options)
    }
}

fn install(mut builder: SessionStateBuilder, session: &Arc<Session>, options: EmotionOptions) -> SessionStateBuilder {
    let functions = scalar_udfs(session, &options.model);
    builder.scalar_functions().get_or_insert_default().extend(functions);
    let tables: [(&str, Arc<dyn TableFunctionImpl>); 2] = [
        ("emotion_models", Arc::new(EmotionModels { session: Arc::clone(session) })),
        ("emotion_stats", Arc::new(EmotionStats { session: Arc::clone(session) })),
    ];
    for (name, function) in tables {
        let function = Arc::new(TableFunction::new(name.into(), function));
        builder.table_functions().get_or_insert_default().insert(name.into(), function);
    }
    let others = builder.function_factory().take();
    *builder.function_factory() = Some(Arc::new(EmotionFunctionFactory::new(Arc::clone(session), others)));
    ExtractInference::install(session, builder.optimizer().get_or_insert_with(Optimizer::new));
    builder.config().get_or_insert_default().options_mut().extensions.insert(options);
    builder.with_query_planner(Arc::new(EmotionQueryPlanner))
}
