use std::hash::{Hash, Hasher};
use std::sync::Arc;

use distilbert::Classifier;

use crate::Error;

/// The model behind a function: equal functions over the same model are the same expression.
#[derive(Clone)]
pub(crate) enum Model {
    /// The model that is built in, loaded when first needed.
    Default,
    /// A model that the user loaded.
    Given(Arc<Classifier>),
}

impl Model {
    pub(crate) fn classifier(&self) -> Result<Arc<Classifier>, Error> {
        match self {
            Self::Default => Ok(Classifier::default_model()?),
            Self::Given(classifier) => Ok(Arc::clone(classifier)),
        }
    }

    /// What tells two models of this process apart.
    fn identity(&self) -> Option<*const Classifier> {
        match self {
            Self::Default => None,
            Self::Given(classifier) => Some(Arc::as_ptr(classifier)),
        }
    }
}

impl PartialEq for Model {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Model {}

impl Hash for Model {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Default => "Default",
            Self::Given(_) => "Given",
        })
    }
}
