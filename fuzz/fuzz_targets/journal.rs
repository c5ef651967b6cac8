//! Continues a labeling job whose journal has been edited. A job may refuse to continue, but never writes other bytes
//! than an undisturbed one.
//!
//! An input says whether the job was cut off or complete, and then lists edits of four bytes: the file of the journal,
//! an offset and a value.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use emotion_classifier::Classifier;
use emotion_fuzz::edit::edited;
use emotion_fuzz::golden;
use emotion_label::job::{Cancel, LabelError, LabelJob, Observer, Summary};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// The files of a folder, by their paths in it.
type Files = BTreeMap<PathBuf, Vec<u8>>;

struct Fixture {
    runtime: Runtime,
    folder: TempDir,
    classifier: Arc<Classifier>,
    cut_off: Files,
    complete: Files,
}

/// Cancels the job after the first rows.
struct Impatient(Cancel);

impl Observer for Impatient {
    fn rows_labeled(&self, _rows: u64, _tokens: u64) {
        self.0.cancel();
    }
}

fn label(
    runtime: &Runtime,
    folder: &Path,
    classifier: &Arc<Classifier>,
    restart: bool,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Result<Summary, LabelError> {
    let path = |name| folder.join(name).display().to_string();
    let job = LabelJob::builder(Arc::clone(classifier), [path("in")], "text", path("out"))
        .commit_every(Duration::ZERO)
        .restart(restart)
        .build();
    runtime.block_on(async { job.plan().await?.run(observer, cancel).await })
}

fn read(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("a path in the folder").to_path_buf();
                files.insert(name, fs::read(path).expect("a file"));
            }
        }
    }
    files
}

fn write(folder: &Path, files: &Files) {
    drop(fs::remove_dir_all(folder));
    for (name, content) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
}

fn is_journal(name: &Path) -> bool {
    name.starts_with(".emotion")
}

fn outputs(files: &Files) -> impl Iterator<Item = (&PathBuf, &Vec<u8>)> {
    files.iter().filter(|(name, _)| !is_journal(name))
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    emotion_fuzz::allow_caught_panics();
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = TempDir::new().expect("a folder");
    let classifier = Arc::new(Classifier::load(golden("gelu-json")).expect("a golden model"));
    let texts =
        |start: usize| (start..start + 40).map(|row| format!("{row},I like number {row}.\n")).collect::<String>();
    fs::create_dir(folder.path().join("in")).expect("a folder");
    for (name, start) in [("a.csv", 0), ("b.csv", 40)] {
        fs::write(folder.path().join("in").join(name), format!("id,text\n{}", texts(start))).expect("a file");
    }
    let cancel = Cancel::default();
    label(&runtime, folder.path(), &classifier, false, &Impatient(cancel.clone()), &cancel).expect_err("cancelled");
    let cut_off = read(&folder.path().join("out"));
    label(&runtime, folder.path(), &classifier, false, &(), &Cancel::default()).expect("a job that continues");
    let complete = read(&folder.path().join("out"));
    Fixture { runtime, folder, classifier, cut_off, complete }
});

fuzz_target!(|input: &[u8]| {
    let Some((state, edits)) = input.split_first() else { return };
    let fixture = &*FIXTURE;
    let mut files = if state & 1 == 0 { fixture.cut_off.clone() } else { fixture.complete.clone() };
    let names: Vec<PathBuf> = files.keys().filter(|name| is_journal(name)).cloned().collect();
    for edit in edits.chunks_exact(4) {
        let content = files.get_mut(&names[usize::from(edit[0]) % names.len()]).expect("a file of the journal");
        *content = edited(content, &edit[1..]);
    }
    let out = fixture.folder.path().join("out");
    write(&out, &files);
    let run = |restart| {
        let folder = fixture.folder.path();
        label(&fixture.runtime, folder, &fixture.classifier, restart, &(), &Cancel::default())
    };
    if let Err(error) = run(false) {
        assert!(matches!(error, LabelError::Conflict(_)), "{error}");
        run(true).expect("a job that starts again");
    }
    let found = read(&out);
    assert!(outputs(&found).eq(outputs(&fixture.complete)), "other bytes than those of an undisturbed job");
});
