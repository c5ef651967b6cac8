use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
#[cfg(feature = "proto")]
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

#[cfg(feature = "proto")]
use emotion_classifier::Precision;
use emotion_classifier::{Classifier, Compute};

use crate::error::Error;
use crate::options::EmotionOptions;

/// A model that functions name, computing in whatever way a query asks for.
///
/// Two models are equal if they run the same classifier, whatever their names.
pub(crate) struct Model {
    name: String,
    source: Source,
    /// The same model in the ways of computing that were asked for.
    variants: Mutex<Vec<(Compute, Arc<Classifier>)>>,
}

/// Where the classifier of a model comes from. All but a given one are loaded when first needed.
enum Source {
    /// The model that is built into the classifier's crate.
    BuiltIn,
    Given(Arc<Classifier>),
    Opened(OpenedModel),
    #[cfg(feature = "proto")]
    Received(ReceivedModel),
}

/// A model by its folder or hub id.
struct OpenedModel {
    /// How it computes when it is loaded: the options of the latest session state that named it.
    compute: Mutex<Compute>,
    classifier: OnceLock<Arc<Classifier>>,
}

/// A model that a plan from another machine names.
#[cfg(feature = "proto")]
pub(crate) struct ReceivedModel {
    /// A folder or a hub id; `None` for the built-in model.
    pub folder_or_id: Option<String>,
    /// The folders that it may be loaded from; any if there is none.
    pub folders: Option<Arc<[PathBuf]>>,
    pub compute: Compute,
    pub model_sha256: String,
    /// The arithmetic of the machine that wrote the plan.
    pub arithmetic: String,
    /// What errors call this machine.
    pub machine: String,
    pub classifier: OnceLock<Arc<Classifier>>,
}

/// A way of computing as plans carry it, by the names of its parts.
#[cfg(feature = "proto")]
#[derive(Clone)]
pub(crate) struct ComputeNames {
    pub precision: String,
    pub backend: String,
    pub device: String,
}

#[cfg(feature = "proto")]
impl ComputeNames {
    pub(crate) fn of(compute: Compute) -> Self {
        let Compute { precision, backend, device, .. } = compute;
        Self { precision: precision.to_string(), backend: backend.to_string(), device: device.to_string() }
    }

    pub(crate) fn parse(&self) -> Result<Compute, String> {
        let precision: Precision = self.precision.parse().map_err(|e| format!("{e}"))?;
        let backend = self.backend.parse().map_err(|e| format!("{e}"))?;
        let device = self.device.parse().map_err(|e| format!("{e}"))?;
        Ok(Compute::from(precision).backend(backend).device(device))
    }
}

impl Model {
    /// The name of the model that is built in.
    pub(crate) const BUILT_IN: &str = "default";

    pub(crate) fn built_in() -> Arc<Self> {
        Self::new(Self::BUILT_IN, Source::BuiltIn)
    }

    pub(crate) fn given(name: &str, classifier: Arc<Classifier>) -> Arc<Self> {
        Self::new(name, Source::Given(classifier))
    }

    /// The model of a folder or a hub id, which is its name too.
    fn opened(folder_or_id: &str, compute: Compute) -> Arc<Self> {
        Self::new(
            folder_or_id,
            Source::Opened(OpenedModel { compute: Mutex::new(compute), classifier: OnceLock::new() }),
        )
    }

    #[cfg(feature = "proto")]
    pub(crate) fn received(name: &str, model: ReceivedModel) -> Arc<Self> {
        Self::new(name, Source::Received(model))
    }

    fn new(name: &str, source: Source) -> Arc<Self> {
        Arc::new(Self { name: name.into(), source, variants: Mutex::default() })
    }

    #[cfg(feature = "proto")]
    pub(crate) fn as_received(&self) -> Option<&ReceivedModel> {
        match &self.source {
            Source::Received(model) => Some(model),
            Source::BuiltIn | Source::Given(_) | Source::Opened(_) => None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The classifier as it was first loaded.
    pub(crate) fn classifier(&self) -> Result<Arc<Classifier>, Error> {
        match &self.source {
            Source::BuiltIn => built_in_classifier(),
            Source::Given(classifier) => Ok(Arc::clone(classifier)),
            Source::Opened(model) => model.classifier(&self.name),
            #[cfg(feature = "proto")]
            Source::Received(model) => model.classifier(),
        }
    }

    /// The classifier computing in another way, loaded when first asked for.
    pub(crate) fn computing(&self, compute: Compute) -> Result<Arc<Classifier>, Error> {
        let mut variants = lock(&self.variants);
        if let Some((_, variant)) = variants.iter().find(|(known, _)| *known == compute) {
            return Ok(Arc::clone(variant));
        }
        let variant = self.classifier()?.computing(compute)?;
        variants.push((compute, Arc::clone(&variant)));
        Ok(variant)
    }

    /// Has an effect until the model is loaded.
    fn compute_when_loaded(&self, compute: Compute) {
        if let Source::Opened(model) = &self.source {
            *lock(&model.compute) = compute;
        }
    }

    /// The address that tells two models of this process apart; `None` for the built-in one.
    fn identity(&self) -> Option<*const ()> {
        match &self.source {
            Source::BuiltIn => None,
            Source::Given(classifier) => Some(Arc::as_ptr(classifier).cast()),
            Source::Opened(_) => Some(std::ptr::from_ref(self).cast()),
            #[cfg(feature = "proto")]
            Source::Received(_) => Some(std::ptr::from_ref(self).cast()),
        }
    }
}

#[cfg(feature = "default-model")]
fn built_in_classifier() -> Result<Arc<Classifier>, Error> {
    Ok(Classifier::default_model()?)
}

#[cfg(not(feature = "default-model"))]
fn built_in_classifier() -> Result<Arc<Classifier>, Error> {
    Err(Error::NoBuiltInModel)
}

impl OpenedModel {
    fn classifier(&self, folder_or_id: &str) -> Result<Arc<Classifier>, Error> {
        load_once(&self.classifier, || {
            let loaded = Classifier::shared(folder_or_id, *lock(&self.compute));
            loaded.map_err(|error| Error::option("model", folder_or_id, error))
        })
    }
}

#[cfg(feature = "proto")]
impl ReceivedModel {
    fn classifier(&self) -> Result<Arc<Classifier>, Error> {
        load_once(&self.classifier, || self.load())
    }

    fn load(&self) -> Result<Arc<Classifier>, Error> {
        let lacks = |reason: String| Error::ModelNotThere {
            place: self.machine.clone(),
            model: self.folder_or_id.clone().unwrap_or_else(|| Model::BUILT_IN.into()),
            reason,
        };
        let classifier = match &self.folder_or_id {
            None => built_in_classifier(),
            Some(folder_or_id) => {
                let allowed = self.allowed(folder_or_id).map_err(lacks)?;
                Classifier::shared(&allowed, self.compute).map_err(Error::from)
            }
        };
        let classifier = classifier.map_err(|e| lacks(e.to_string()))?;
        if classifier.model_sha256() != self.model_sha256 {
            return Err(lacks("what is there is another model than the query was written with".into()));
        }
        let (here, there) = (classifier.compute().arithmetic(), &self.arithmetic);
        if here != there {
            let cure = "set EMOTION_ISA to an instruction set that both machines have, such as avx512bf16 or portable";
            let what = format!("its predictions have the bits of '{here}', those of the query have those of '{there}'");
            return Err(lacks(format!("{what}: {cure}")));
        }
        Ok(classifier)
    }

    /// The folder without links, if models may be loaded from it, or the hub id.
    fn allowed(&self, folder_or_id: &str) -> Result<String, String> {
        let (Some(folders), Ok(folder)) = (&self.folders, Path::new(folder_or_id).canonicalize()) else {
            return Ok(folder_or_id.into());
        };
        let holds = |allowed: &PathBuf| allowed.canonicalize().is_ok_and(|allowed| folder.starts_with(allowed));
        let name = folder.to_str().filter(|_| folders.iter().any(holds));
        let what = "it is in none of the folders of models of this server: name its folder with --models there";
        name.map(str::to_string).ok_or_else(|| what.into())
    }
}

/// Two threads that come first may both load; [`Classifier::shared`] gives them the same classifier.
fn load_once(
    loaded: &OnceLock<Arc<Classifier>>,
    load: impl FnOnce() -> Result<Arc<Classifier>, Error>,
) -> Result<Arc<Classifier>, Error> {
    if let Some(classifier) = loaded.get() {
        return Ok(Arc::clone(classifier));
    }
    let classifier = load()?;
    Ok(Arc::clone(loaded.get_or_init(|| classifier)))
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
    /// Models of functions made by `CREATE FUNCTION`, which are dropped with their functions.
    of_functions: Mutex<BTreeMap<String, Weak<Model>>>,
    /// Models that live as long as the session.
    kept: Mutex<Vec<Arc<Model>>>,
    /// The model that `emotion.model` opened last, with the revision of that option.
    opened: Mutex<Option<(u64, Arc<Model>)>>,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            built_in: Model::built_in(),
            of_functions: Mutex::default(),
            kept: Mutex::default(),
            opened: Mutex::default(),
        }
    }
}

impl Models {
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

    /// Names a model for as long as the session lives.
    pub(crate) fn keep(&self, model: Arc<Model>) {
        self.name(&model);
        lock(&self.kept).push(model);
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<Model>, Error> {
        let all = self.all();
        let found = all.iter().find(|model| model.name() == name).cloned();
        found.ok_or_else(|| Error::unknown_model(name, all.iter().map(|model| model.name().to_string()).collect()))
    }

    /// The model of functions that name none: a model of the session, or else a folder or a hub id, whose
    /// files are read when a plan first needs them.
    pub(crate) fn resolve(&self, options: &EmotionOptions) -> Arc<Model> {
        let name = options.model();
        if name == Model::BUILT_IN {
            return Arc::clone(&self.built_in);
        }
        if let Ok(model) = self.get(name) {
            return model;
        }
        let mut opened = lock(&self.opened);
        let revision = options.model_revision();
        if let Some((_, model)) = opened.as_ref().filter(|(known, model)| *known == revision && model.name == name) {
            model.compute_when_loaded(options.compute());
            return Arc::clone(model);
        }
        let model = Model::opened(name, options.compute());
        *opened = Some((revision, Arc::clone(&model)));
        model
    }

    /// The built-in model, if there is one, then the others in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<Model>> {
        let mut named = lock(&self.of_functions);
        named.retain(|_, model| model.strong_count() > 0);
        let built_in = cfg!(feature = "default-model").then(|| Arc::clone(&self.built_in));
        built_in.into_iter().chain(named.values().filter_map(Weak::upgrade)).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
