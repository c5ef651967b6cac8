use std::num::NonZeroUsize;
use std::sync::Arc;

use clap::Args;
use emotion_classifier::{BackendChoice, Classifier, Compute, Device, Precision};

/// Which model to use, and how.
#[derive(Args)]
pub struct ModelArguments {
    /// A model other than the built-in one: a folder in Hugging Face layout, or a hub id such as
    /// bhadresh-savani/distilbert-base-uncased-emotion.
    #[arg(long, value_name = "FOLDER_OR_ID")]
    model: Option<String>,

    /// Cut texts to this many tokens [default: the maximum of the model, 512 for most]
    #[arg(long, value_name = "TOKENS")]
    max_length: Option<NonZeroUsize>,

    /// Compute in float32, bfloat16, int8 (CPU only) or float16 (GPU only) [default: float32]
    #[arg(long)]
    precision: Option<Precision>,

    /// The probability from which a label holds; a text whose most probable label is below it gets none [default: 0.5
    /// for multi-label models, 0 for others]
    #[arg(long, value_name = "PROBABILITY", value_parser = probability)]
    threshold: Option<f32>,

    /// Compute with the packed kernels (BERT family, CPU) or with candle; `auto` selects the first that supports the
    /// model [default: auto]
    #[arg(long)]
    backend: Option<BackendChoice>,

    /// Compute on cpu, cuda, cuda:1 or metal; for a GPU, build the program with the feature `cuda` or `metal` [default:
    /// cpu]
    #[arg(long)]
    device: Option<Device>,

    /// The number of inference threads [default: one per core]
    #[arg(long, value_name = "NUMBER", value_parser = threads)]
    threads: Option<NonZeroUsize>,
}

/// More threads only compete for the cores.
const MOST_THREADS: usize = 1024;

fn threads(value: &str) -> Result<NonZeroUsize, String> {
    let threads: Option<NonZeroUsize> = value.parse().ok();
    let threads = threads.filter(|threads| threads.get() <= MOST_THREADS);
    threads.ok_or_else(|| format!("it must be a number from 1 to {MOST_THREADS}"))
}

fn probability(value: &str) -> Result<f32, &'static str> {
    let probability = value.parse().ok().filter(|probability| (0.0..=1.0).contains(probability));
    probability.ok_or("it must be a probability from 0 to 1")
}

impl ModelArguments {
    /// Loads the model that was chosen, or the built-in one.
    pub fn load(&self) -> emotion_classifier::Result<Arc<Classifier>> {
        self.limit_threads();
        let compute = Compute::from(self.precision.unwrap_or_default())
            .backend(self.backend.unwrap_or_default())
            .device(self.device.unwrap_or_default());
        if self.max_length.is_none() && self.model.is_none() && compute == Compute::default() {
            return Classifier::default_model();
        }
        let mut builder = Classifier::builder().compute(compute);
        if let Some(tokens) = self.max_length {
            builder = builder.max_length(tokens.get());
        }
        let classifier = match &self.model {
            Some(model) => builder.open(model)?,
            None => builder.load_default_model()?,
        };
        Ok(Arc::new(classifier))
    }

    /// Sets the number of threads of the pool in which all inference of the process runs.
    fn limit_threads(&self) {
        if let Some(threads) = self.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get());
            // A second call finds the pool that the first has started.
            let _ = pool.thread_name(|_| "inference".into()).build_global();
        }
    }

    /// The probability from which a label holds, if one was chosen.
    pub fn threshold(&self) -> Option<f32> {
        self.threshold
    }

    /// The choices as options of a session.
    pub fn options(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.limit_threads();
        let options = [
            ("emotion.precision", self.precision.map(|precision| precision.to_string())),
            ("emotion.backend", self.backend.map(|backend| backend.to_string())),
            ("emotion.device", self.device.map(|device| device.to_string())),
            ("emotion.model", self.model.clone()),
            ("emotion.max_length", self.max_length.map(|tokens| tokens.to_string())),
            ("emotion.threshold", self.threshold.map(|threshold| threshold.to_string())),
        ];
        options.into_iter().filter_map(|(option, value)| Some((option, value?)))
    }
}
