use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt64Array};
use datafusion::catalog::{MemTable, TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::plan_err;
use datafusion::error::Result;
use emotion_classifier::{Classifier, Config};

use crate::error::Error;
use crate::options::EmotionOptions;
use crate::shared::Shared;

/// `emotion_models()`: a row for each model that the session can name.
#[derive(Debug)]
pub(crate) struct EmotionModels {
    pub(crate) shared: Arc<Shared>,
}

impl TableFunctionImpl for EmotionModels {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        if !args.exprs().is_empty() {
            return plan_err!("emotion_models takes no arguments");
        }
        let options = EmotionOptions::of(args.session().config_options()).cloned().unwrap_or_default();
        let batch = self.models(&options)?;
        Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
    }
}

impl EmotionModels {
    fn models(&self, options: &EmotionOptions) -> Result<RecordBatch> {
        let mut models = self.shared.models.all();
        if !models.iter().any(|model| model.name() == options.model()) {
            models.insert(0, self.shared.models.resolve(options));
        }
        let classifiers: Vec<Arc<Classifier>> =
            models.iter().map(|model| model.classifier()).collect::<Result<_, Error>>()?;
        let strings = |value: &dyn Fn(&Classifier) -> String| -> ArrayRef {
            Arc::new(classifiers.iter().map(|classifier| Some(value(classifier))).collect::<StringArray>())
        };
        let numbers = |value: &dyn Fn(&Classifier) -> usize| -> ArrayRef {
            Arc::new(classifiers.iter().map(|classifier| Some(value(classifier) as u64)).collect::<UInt64Array>())
        };
        let names: StringArray = models.iter().map(|model| Some(model.name())).collect();
        let max_length = |classifier: &Classifier| {
            let longest = classifier.max_length();
            options.max_length.map_or(longest, |tokens| tokens.min(longest))
        };
        // What was asked for, where that is an error of the queries that use the model.
        let backend = |classifier: &Classifier| {
            let resolved = options.compute().resolve(classifier.config().model_type);
            resolved.map_or(options.backend, |compute| compute.backend).to_string()
        };
        Ok(RecordBatch::try_from_iter([
            ("name", Arc::new(names) as ArrayRef),
            ("labels", labels(&classifiers)),
            ("architecture", strings(&|classifier| architecture(classifier.config()))),
            ("parameters", numbers(&|classifier| classifier.parameters())),
            ("vocabulary", numbers(&|classifier| classifier.config().vocab_size)),
            ("precision", strings(&|_| options.precision.to_string())),
            ("backend", strings(&backend)),
            ("device", strings(&|_| options.device.to_string())),
            ("max_length", numbers(&max_length)),
            ("weights_sha256", strings(&|classifier| classifier.weights_sha256())),
            ("tokenizer_sha256", strings(&|classifier| classifier.tokenizer_sha256())),
            ("origin", strings(&|classifier| classifier.origin().to_string())),
        ])?)
    }
}

fn labels(classifiers: &[Arc<Classifier>]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for classifier in classifiers {
        lists.append_value(classifier.labels().iter().map(|label| Some(label.to_string())));
    }
    Arc::new(lists.finish())
}

/// For example `DistilBERT 6 x 384, 12 heads, single-label`.
fn architecture(config: &Config) -> String {
    format!(
        "{} {} x {}, {} heads, {}",
        config.model_type,
        config.num_hidden_layers,
        config.hidden_size,
        config.num_attention_heads,
        config.problem_type.name()
    )
}
