//! What fuzz targets share: a small model, one file of which a target replaces; copies of files; edits.

pub mod copy;
pub mod edit;

use std::fs;
use std::path::{Path, PathBuf};

use emotion_classifier::{Classifier, Error};
use tempfile::TempDir;

const FILES: [&str; 5] = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];

/// The folder of a model of `tests/golden`.
#[must_use]
pub fn golden(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(model)
}

/// Lets a panic that the library catches pass, and aborts only on others: the fuzzer's hook aborts on every panic.
pub fn allow_caught_panics() {
    drop(std::panic::take_hook());
}

/// A copy of a golden model, with one file that changes.
pub struct Model {
    folder: TempDir,
    file: &'static str,
}

impl Model {
    /// A copy of the model `name`, whose `file` a target replaces.
    ///
    /// # Panics
    /// If the files cannot be copied.
    #[must_use]
    pub fn with_file(name: &str, file: &'static str) -> Self {
        allow_caught_panics();
        let folder = TempDir::new().expect("a folder for the model");
        for file in FILES.iter().filter(|file| golden(name).join(file).exists()) {
            fs::copy(golden(name).join(file), folder.path().join(file)).expect("a copy of the model");
        }
        Self { folder, file }
    }

    /// The same with the tokenizer of a folder of `tests/golden/tokenizers`, whose `file` a target replaces.
    ///
    /// # Panics
    /// If the files cannot be copied.
    #[must_use]
    pub fn with_tokenizer(name: &str, tokenizer: &str, file: &'static str) -> Self {
        let model = Self::with_file(name, file);
        fs::remove_file(model.folder.path().join("tokenizer.json")).expect("a tokenizer to be replaced");
        for entry in fs::read_dir(golden("tokenizers").join(tokenizer)).expect("the tokenizer").flatten() {
            if entry.file_name() != "config.json" {
                fs::copy(entry.path(), model.folder.path().join(entry.file_name())).expect("a copy of the tokenizer");
            }
        }
        model
    }

    /// A copy of the model `name` whose weights are the shard `one.safetensors`, and whose index a target replaces.
    ///
    /// # Panics
    /// If the files cannot be copied.
    #[must_use]
    pub fn sharded(name: &str) -> Self {
        let model = Self::with_file(name, "model.safetensors.index.json");
        let weights = model.folder.path().join("model.safetensors");
        fs::rename(&weights, weights.with_file_name("one.safetensors")).expect("a shard");
        model
    }

    /// A copy of the model of `tests/golden/pickles`, whose `pytorch_model.bin` a target replaces.
    ///
    /// # Panics
    /// If the files cannot be copied.
    #[must_use]
    pub fn pickled() -> Self {
        let model = Self::with_file("pickles", "pytorch_model.bin");
        fs::remove_file(model.folder.path().join("model.safetensors")).expect("weights to be replaced");
        let tokenizer = "tokenizer.json";
        fs::copy(golden("gelu-json").join(tokenizer), model.folder.path().join(tokenizer)).expect("a tokenizer");
        model
    }

    /// Loads the model with this content of the file and classifies some texts. Errors are fine.
    ///
    /// # Panics
    /// If the file cannot be written, or if a result is not one that the model can give.
    pub fn load(&self, content: &[u8]) {
        fs::write(self.folder.path().join(self.file), content).expect("the file of the model");
        if let Ok(classifier) = Classifier::load(self.folder.path()) {
            match classify(&classifier) {
                // A malformed tokenizer may fail, or panic and be caught, at the texts that need the malformed part.
                Ok(()) | Err(Error::Tokenize(_)) => {}
                Err(error) => panic!("a model that loads classifies: {error}"),
            }
        }
    }
}

fn classify(classifier: &Classifier) -> Result<(), Error> {
    let texts = ["I like you.", "", "çelà 爱 😀 [CLS] ##x", "joy joy joy joy joy joy joy joy"];
    for prediction in classifier.classify(&texts)? {
        assert_eq!(prediction.probabilities.len(), classifier.labels().len());
        assert_eq!(prediction.label, classifier.labels()[prediction.label_id]);
    }
    Ok(())
}
