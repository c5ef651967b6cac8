use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use emotion_classifier::{Classifier, Precision};

use crate::Error;

/// A model that functions name, in whatever precision a query asks for.
///
/// Equal are two models over the same classifier, whatever they are called.
pub(crate) struct Model {
    name: String,
    base: Base,
    /// The same model in the precisions that were asked for.
    variants: Mutex<Vec<Arc<Classifier>>>,
}

enum Base {
    /// The model that is built in, loaded when first needed.
    BuiltIn,
    Given(Arc<Classifier>),
    /// One that came with a plan from another machine, loaded when first needed.
    #[cfg(feature = "proto")]
    Received(crate::codec::ReceivedModel),
}

impl Model {
    /// The name of the model that is built in.
    pub(crate) const BUILT_IN: &str = "default";

    pub(crate) fn built_in() -> Arc<Self> {
        Arc::new(Self { name: Self::BUILT_IN.into(), base: Base::BuiltIn, variants: Mutex::default() })
    }

    pub(crate) fn given(name: &str, classifier: Arc<Classifier>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), base: Base::Given(classifier), variants: Mutex::default() })
    }

    #[cfg(feature = "proto")]
    pub(crate) fn received(name: &str, model: crate::codec::ReceivedModel) -> Arc<Self> {
        Arc::new(Self { name: name.into(), base: Base::Received(model), variants: Mutex::default() })
    }

    #[cfg(feature = "proto")]
    pub(crate) fn as_received(&self) -> Option<&crate::codec::ReceivedModel> {
        match &self.base {
            Base::Received(model) => Some(model),
            Base::BuiltIn | Base::Given(_) => None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The classifier in the precision in which it was first loaded.
    pub(crate) fn classifier(&self) -> Result<Arc<Classifier>, Error> {
        match &self.base {
            Base::BuiltIn => Ok(Classifier::default_model()?),
            Base::Given(classifier) => Ok(Arc::clone(classifier)),
            #[cfg(feature = "proto")]
            Base::Received(model) => model.classifier(),
        }
    }

    /// The classifier in another precision, loaded when first asked for.
    pub(crate) fn in_precision(&self, precision: Precision) -> Result<Arc<Classifier>, Error> {
        let mut variants = lock(&self.variants);
        if let Some(variant) = variants.iter().find(|variant| variant.precision() == precision) {
            return Ok(Arc::clone(variant));
        }
        let variant = self.classifier()?.in_precision(precision)?;
        variants.push(Arc::clone(&variant));
        Ok(variant)
    }

    /// What tells two models of this process apart.
    fn identity(&self) -> Option<*const ()> {
        match &self.base {
            Base::BuiltIn => None,
            Base::Given(classifier) => Some(Arc::as_ptr(classifier).cast()),
            #[cfg(feature = "proto")]
            Base::Received(model) => Some(std::ptr::from_ref(model).cast()),
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
        f.debug_tuple("Model").field(&self.name).finish()
    }
}

/// The models of a session by their names.
#[derive(Debug)]
pub(crate) struct Models {
    built_in: Arc<Model>,
    /// Models that a function made by `CREATE FUNCTION` holds, and which are gone when it is.
    of_functions: Mutex<BTreeMap<String, Weak<Model>>>,
}

impl Default for Models {
    fn default() -> Self {
        Self { built_in: Model::built_in(), of_functions: Mutex::default() }
    }
}

impl Models {
    pub(crate) fn built_in(&self) -> &Arc<Model> {
        &self.built_in
    }

    /// Whether the same names stand for the same models.
    pub(crate) fn agree(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || {
            let named = |models: &Self| models.all().into_iter().map(|model| (model.name.clone(), model));
            named(self).eq(named(other))
        }
    }

    /// Names a model for as long as a function holds it.
    pub(crate) fn name(&self, model: &Arc<Model>) {
        lock(&self.of_functions).insert(model.name().into(), Arc::downgrade(model));
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<Model>, Error> {
        let all = self.all();
        let found = all.iter().find(|model| model.name() == name).cloned();
        found.ok_or_else(|| Error::unknown_model(name, all.iter().map(|model| model.name().to_string()).collect()))
    }

    /// The built-in model, then the others in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<Model>> {
        let mut named = lock(&self.of_functions);
        named.retain(|_, model| model.strong_count() > 0);
        let named = named.values().filter_map(Weak::upgrade);
        std::iter::once(Arc::clone(&self.built_in)).chain(named).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
