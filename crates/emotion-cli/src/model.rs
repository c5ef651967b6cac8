use std::sync::Arc;

use clap::Args;
use distilbert::Classifier;

/// Which model to use.
#[derive(Args)]
pub struct ModelArguments {
    /// A model other than the built-in one: a folder in Hugging Face layout, or a hub id such as
    /// bhadresh-savani/distilbert-base-uncased-emotion.
    #[arg(long, value_name = "FOLDER_OR_ID")]
    model: Option<String>,

    /// Cut texts to this many tokens [default: as many as the model takes, 512 for most]
    #[arg(long, value_name = "TOKENS")]
    max_length: Option<usize>,
}

impl ModelArguments {
    /// Loads the model that was chosen; `None` if it is the built-in one, as it is.
    pub fn chosen(&self) -> distilbert::Result<Option<Arc<Classifier>>> {
        let builder = match self.max_length {
            Some(tokens) => Classifier::builder().max_length(tokens),
            None => Classifier::builder(),
        };
        let classifier = match &self.model {
            Some(model) => builder.open(model)?,
            None if self.max_length.is_some() => builder.default_model()?,
            None => return Ok(None),
        };
        Ok(Some(Arc::new(classifier)))
    }

    /// Loads the model that was chosen, or the built-in one.
    pub fn load(&self) -> distilbert::Result<Arc<Classifier>> {
        self.chosen()?.map_or_else(Classifier::default_model, Ok)
    }
}
