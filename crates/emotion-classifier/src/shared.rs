use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::classifier::Classifier;
use crate::compute::Compute;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::folder::{Digest, ModelFolder};
use crate::precision::Precision;

type Slot = Arc<Mutex<Weak<Classifier>>>;

/// The classifier of these files, loaded once per process for as long as it is in use.
///
/// Models are identified by the contents of their files, not by their origin. Two callers that
/// request the same model at once load it once; callers that request other models do not wait.
fn load(files: &ModelFolder, digest: Digest, compute: Compute) -> Result<Arc<Classifier>> {
    let config = Config::parse(&files.origin.to_string(), &files.config)?;
    let compute = compute.resolve(config.model_type)?;
    let slot = slot(digest, compute);
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(classifier) = slot.upgrade() {
        return Ok(classifier);
    }
    let classifier = Arc::new(Classifier::builder().compute(compute).build_digested(files, digest)?);
    *slot = Arc::downgrade(&classifier);
    Ok(classifier)
}

fn slot(digest: Digest, compute: Compute) -> Slot {
    static SLOTS: Mutex<Option<HashMap<(Digest, Compute), Slot>>> = Mutex::new(None);
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    let slots = slots.get_or_insert_default();
    slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|weak| weak.strong_count() > 0));
    Arc::clone(slots.entry((digest, compute)).or_default())
}

impl Classifier {
    /// The model of a folder if there is one of that name, otherwise of a hub id (with the feature
    /// `hub`); shared by all callers in this process that open a model of the same content to compute in the same way.
    ///
    /// ```no_run
    /// # fn main() -> emotion_classifier::Result<()> {
    /// use emotion_classifier::{Classifier, Precision};
    ///
    /// let one = Classifier::shared("path/to/model", Precision::Float32)?;
    /// let two = Classifier::shared("path/to/a/copy", Precision::Float32)?;
    /// assert!(std::sync::Arc::ptr_eq(&one, &two));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Hub`] if the model cannot be downloaded, and the errors of [`Self::load`].
    pub fn shared(folder_or_id: &str, compute: impl Into<Compute>) -> Result<Arc<Self>> {
        let files = ModelFolder::open(folder_or_id)?;
        load(&files, files.digest(), compute.into())
    }

    /// The same model in another precision, by the same backend on the same device: see [`Self::computing`].
    ///
    /// # Errors
    ///
    /// As for [`Self::computing`].
    pub fn in_precision(self: &Arc<Self>, precision: Precision) -> Result<Arc<Self>> {
        self.computing(Compute { precision, ..self.compute() })
    }

    /// The same model, computing in another way; shared as by [`Self::shared`].
    ///
    /// Its files are read again, and must not have changed. If it computes so already, it is `self`.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`] if the files have changed, and the errors of [`Self::shared`].
    pub fn computing(self: &Arc<Self>, compute: impl Into<Compute>) -> Result<Arc<Self>> {
        let compute = compute.into().resolve(self.config().model_type)?;
        if self.compute() == compute {
            return Ok(Arc::clone(self));
        }
        let files = ModelFolder::reopen(self.origin())?;
        let digest = files.digest();
        if digest != *self.digest() {
            return Err(Error::Changed { origin: self.origin().to_string() });
        }
        load(&files, digest, compute)
    }

    /// The model that is built into this crate: six emotions in English text.
    ///
    /// It is loaded once per process and kept.
    ///
    /// # Errors
    ///
    /// None is expected: those of [`Self::load`], should the embedded files not be a model.
    #[cfg(feature = "default-model")]
    pub fn default_model() -> Result<Arc<Self>> {
        static DEFAULT: Mutex<Option<Arc<Classifier>>> = Mutex::new(None);
        let mut default = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(classifier) = &*default {
            return Ok(Arc::clone(classifier));
        }
        let files = ModelFolder::default_model();
        let classifier = load(&files, files.digest(), Compute::default())?;
        *default = Some(Arc::clone(&classifier));
        Ok(classifier)
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;

    use super::*;

    /// A copy of a golden model, and its path.
    fn copy(name: &str) -> (TempDir, String) {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
        let copy = TempDir::new().unwrap();
        for file in ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "tokenizer_config.json"] {
            if golden.join(file).exists() {
                std::fs::copy(golden.join(file), copy.path().join(file)).unwrap();
            }
        }
        let path = copy.path().display().to_string();
        (copy, path)
    }

    #[test]
    fn models_of_equal_files_and_precision_are_one() {
        let ((_one, one), (_two, two)) = (copy("gelu-json"), copy("gelu-json"));
        let one = Classifier::shared(&one, Precision::Float32).unwrap();
        assert!(Arc::ptr_eq(&one, &Classifier::shared(&two, Precision::Float32).unwrap()));
        let int8 = one.in_precision(Precision::Int8).unwrap();
        assert_eq!(int8.precision(), Precision::Int8);
        assert!(Arc::ptr_eq(&int8, &Classifier::shared(&two, Precision::Int8).unwrap()));
        assert!(Arc::ptr_eq(&one, &one.in_precision(Precision::Float32).unwrap()));
    }

    #[test]
    fn files_that_changed_are_an_error() {
        // Not the model of another test, which would share this classifier and its folder.
        let (_folder, path) = copy("relu-cased");
        let classifier = Classifier::shared(&path, Precision::Float32).unwrap();
        let config = PathBuf::from(&path).join("config.json");
        let changed = std::fs::read_to_string(&config).unwrap() + "\n";
        std::fs::write(&config, changed).unwrap();
        let error = classifier.in_precision(Precision::Int8).unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{error}");
    }

    #[cfg(feature = "default-model")]
    #[test]
    fn the_default_model_is_shared_unless_it_is_built() {
        let shared = Classifier::default_model().unwrap();
        assert!(Arc::ptr_eq(&shared, &Classifier::default_model().unwrap()));
        let built = Classifier::builder().max_length(64).load_default_model().unwrap();
        assert_eq!((built.max_length(), shared.max_length()), (64, 512));
    }
}
