use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::model_files::{Digest, ModelFiles};
use crate::{Classifier, ClassifierBuilder, Error, Precision, Result};

type Slot = Arc<Mutex<Weak<Classifier>>>;

/// The classifier of these files, loaded once a process for as long as anybody uses it.
///
/// Models are told apart by what their files hold, not by where these lie. Two callers that want
/// the same model at once load it once; others are not held up.
fn load(files: &ModelFiles, digest: Digest, precision: Precision) -> Result<Arc<Classifier>> {
    let slot = slot(digest, precision);
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(classifier) = slot.upgrade() {
        return Ok(classifier);
    }
    let classifier = Arc::new(ClassifierBuilder::default().precision(precision).build_digested(files, digest)?);
    *slot = Arc::downgrade(&classifier);
    Ok(classifier)
}

fn slot(digest: Digest, precision: Precision) -> Slot {
    static SLOTS: Mutex<Option<HashMap<(Digest, Precision), Slot>>> = Mutex::new(None);
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    let slots = slots.get_or_insert_default();
    slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|weak| weak.strong_count() > 0));
    Arc::clone(slots.entry((digest, precision)).or_default())
}

impl Classifier {
    /// The model of a folder, or else of a hub id, shared with all others in this process that
    /// open a model of the same content in the same precision.
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
    pub fn shared(folder_or_id: &str, precision: Precision) -> Result<Arc<Self>> {
        let files = ModelFiles::open(folder_or_id)?;
        load(&files, files.digest(), precision)
    }

    /// The same model in another precision, shared likewise.
    ///
    /// Its files are read again; that they are still the same is checked.
    pub fn in_precision(self: &Arc<Self>, precision: Precision) -> Result<Arc<Self>> {
        if self.precision() == precision {
            return Ok(Arc::clone(self));
        }
        let files = ModelFiles::reopen(self.origin())?;
        let digest = files.digest();
        if digest != *self.digest() {
            return Err(Error::Changed { origin: self.origin().to_string() });
        }
        load(&files, digest, precision)
    }

    /// The model that is built into this crate: six emotions in English text.
    ///
    /// It is loaded once a process and kept.
    #[cfg(feature = "default-model")]
    pub fn default_model() -> Result<Arc<Self>> {
        static DEFAULT: Mutex<Option<Arc<Classifier>>> = Mutex::new(None);
        let mut default = DEFAULT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(classifier) = &*default {
            return Ok(Arc::clone(classifier));
        }
        let files = ModelFiles::default_model();
        let classifier = load(&files, files.digest(), Precision::default())?;
        *default = Some(Arc::clone(&classifier));
        Ok(classifier)
    }
}
