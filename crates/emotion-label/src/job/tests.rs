//! Jobs over object stores, which fail here at every operation they are asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path as FilePath;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_avro::writer::AvroWriter;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::prelude::SessionContext;
use emotion_classifier::Classifier;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;

use crate::format::{FileType, Format};
use crate::job::cancel::Cancel;
use crate::job::codec::Codec;
use crate::job::columns::Columns;
use crate::job::error::{LabelError, message};
use crate::job::label_job::{LabelJob, LabelJobBuilder};
use crate::job::observer::Observer;
use crate::job::summary::Summary;

/// A store that refuses everything after so many operations, except to unlock.
#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    left: Arc<AtomicI64>,
    /// Reads of the first input that are left before its reader panics.
    reads_left: AtomicI64,
}

impl Faulty {
    fn new() -> Arc<Self> {
        let left = Arc::new(AtomicI64::new(i64::MAX));
        Arc::new(Self { inner: InMemory::new(), left, reads_left: AtomicI64::new(i64::MAX) })
    }

    fn ask(&self, path: &Path) -> Result<()> {
        ask(&self.left, path)
    }

    /// All that stands there, but for what the job remembers.
    async fn output(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let objects: Vec<_> = self.inner.list(Some(&Path::from("out"))).try_collect().await.unwrap();
        for object in objects.into_iter().filter(|object| !object.location.as_ref().contains(".emotion")) {
            let bytes = self.inner.get(&object.location).await.unwrap().bytes().await.unwrap();
            files.insert(object.location.to_string(), bytes.to_vec());
        }
        files
    }
}

impl Faulty {
    /// What the job remembers, without its lock.
    async fn journal(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let objects: Vec<_> = self.inner.list(Some(&Path::from("out/.emotion"))).try_collect().await.unwrap();
        for object in objects.into_iter().filter(|object| object.location.filename() != Some("lock")) {
            let bytes = self.inner.get(&object.location).await.unwrap().bytes().await.unwrap();
            files.insert(object.location.to_string(), bytes.to_vec());
        }
        files
    }

    /// Makes these files all that stands in the output.
    async fn restore(&self, files: &BTreeMap<String, Vec<u8>>) {
        let objects: Vec<_> = self.inner.list(Some(&Path::from("out"))).try_collect().await.unwrap();
        for object in objects {
            self.inner.delete(&object.location).await.unwrap();
        }
        for (name, bytes) in files {
            self.inner.put(&Path::from(name.as_str()), bytes.clone().into()).await.unwrap();
        }
    }
}

/// The labels of rows that a journal keeps, by the names of their files.
fn segments(journal: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let is_segment = |name: &&String| name.rsplit('/').next().is_some_and(|name| name.contains('-'));
    journal.keys().filter(is_segment).cloned().collect()
}

fn ask(left: &AtomicI64, path: &Path) -> Result<()> {
    if path.filename() == Some("lock") || left.fetch_sub(1, Relaxed) > 0 {
        return Ok(());
    }
    Err(Error::Generic { store: "faulty", source: "no space left".into() })
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.ask(location)?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.ask(location)?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.ask(location)?;
        if !options.head && location.as_ref().starts_with("in/a.") {
            assert!(self.reads_left.fetch_sub(1, Relaxed) > 0, "the reader has a fault");
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let left = Arc::clone(&self.left);
        let asked = locations.map(move |path| path.and_then(|path| ask(&left, &path).map(|()| path)));
        self.inner.delete_stream(asked.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.ask(&Path::default()) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => Box::pin(futures::stream::iter([Err(error)])),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.ask(&Path::default())?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.ask(to)?;
        self.inner.copy_opts(from, to, options).await
    }
}

/// Rows with a NULL, an empty and a repeated text.
fn rows() -> RecordBatch {
    let texts = (0..120).map(|row| match row % 10 {
        0 => None,
        1 => Some(String::new()),
        2 => Some("I like you.".into()),
        _ => Some(format!("Row {row} makes me happy, or does it?")),
    });
    let columns: [(&str, ArrayRef); 2] =
        [("id", Arc::new(Int64Array::from_iter_values(0..120))), ("text", Arc::new(texts.collect::<StringArray>()))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

/// The rows as a file of a format; Parquet in two row groups.
fn file(ending: &str) -> Vec<u8> {
    match ending {
        "parquet" => parquet(),
        "csv" => {
            let mut writer = arrow::csv::Writer::new(Vec::new());
            writer.write(&rows()).unwrap();
            writer.into_inner()
        }
        "jsonl" => {
            let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
            writer.write(&rows()).unwrap();
            writer.finish().unwrap();
            writer.into_inner()
        }
        "avro" => {
            let mut writer = AvroWriter::new(Vec::new(), rows().schema().as_ref().clone()).unwrap();
            writer.write(&rows()).unwrap();
            writer.finish().unwrap();
            writer.into_inner()
        }
        _ => {
            let mut writer = arrow::ipc::writer::FileWriter::try_new(Vec::new(), &rows().schema()).unwrap();
            writer.write(&rows()).unwrap();
            writer.into_inner().unwrap()
        }
    }
}

fn parquet() -> Vec<u8> {
    let batch = rows();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(80)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn classifier() -> Arc<Classifier> {
    let folder = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/one-head");
    Arc::new(Classifier::load(folder).unwrap())
}

async fn bucket(store: &Arc<Faulty>, ending: &str) -> SessionContext {
    let context = SessionContext::new();
    let address = ListingTableUrl::parse("s3://bucket").unwrap();
    context.register_object_store(address.get_url(), Arc::clone(store) as Arc<dyn ObjectStore>);
    for name in ["a", "day=2/b"] {
        let path = Path::from(format!("in/{name}.{ending}"));
        store.inner.put(&path, file(ending).into()).await.unwrap();
    }
    store.inner.put(&Path::from("in/_SUCCESS"), Vec::new().into()).await.unwrap();
    context
}

/// The events of a job, by the names of its files or the numbers of rows.
#[derive(Default)]
struct Events(Mutex<Vec<String>>);

impl Observer for Events {
    fn file_started(&self, file: &str) {
        self.0.lock().unwrap().push(file.into());
    }

    fn rows_labeled(&self, rows: u64, _: u64) {
        self.0.lock().unwrap().push(format!("{rows} rows"));
    }
}

#[tokio::test]
async fn small_files_are_labeled_side_by_side() {
    let store = Faulty::new();
    let job = LabelJob::builder(classifier(), ["s3://bucket/in/"], "text", "s3://bucket/out");
    let plan = job.session(bucket(&store, "csv").await).build().plan().await.unwrap();
    let events = Events::default();
    plan.run(&events, &Cancel::default()).await.unwrap();
    let events = events.0.into_inner().unwrap();
    assert_eq!(events[..2], ["s3://bucket/in/a.csv", "s3://bucket/in/day=2/b.csv"]);
    assert!(events[2].ends_with(" rows"), "{events:?}");
}

/// Changes a job.
type Change = fn(LabelJobBuilder) -> LabelJobBuilder;

async fn label(
    context: &SessionContext,
    classifier: &Arc<Classifier>,
    change: Change,
) -> std::result::Result<Summary, LabelError> {
    let job = LabelJob::builder(Arc::clone(classifier), ["s3://bucket/in/"], "text", "s3://bucket/out");
    let job = job.session(context.clone()).commit_every(Duration::ZERO);
    change(job).build().plan().await?.run(&(), &Cancel::default()).await
}

/// Fails a job at every operation, whose files are of a format.
async fn fail_everywhere(ending: &str, output: &str, change: Change) {
    let classifier = classifier();
    let store = Faulty::new();
    let summary = label(&bucket(&store, ending).await, &classifier, change).await.unwrap();
    assert_eq!((summary.files, summary.counts.rows), (2, 240));
    let expected = store.output().await;
    let names = ["a", "day=2/b"].map(|name| format!("out/{name}.{output}"));
    assert_eq!(expected.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());

    for operations in 0.. {
        let store = Faulty::new();
        let context = bucket(&store, ending).await;
        store.left.store(operations, Relaxed);
        if label(&context, &classifier, change).await.is_ok() {
            assert!(operations > 30, "the job takes {operations} operations");
            assert_eq!(store.output().await, expected);
            break;
        }
        for (name, bytes) in store.output().await {
            assert_eq!(bytes, expected[&name], "{name} stands there incomplete after {operations} operations");
        }
        store.left.store(i64::MAX, Relaxed);
        label(&context, &classifier, change).await.unwrap_or_else(|error| panic!("{operations}: {error:?}"));
        assert_eq!(store.output().await, expected, "after {operations} operations");
        // A kill between the last two steps of a file leaves labels behind, which the next run removes.
        assert_eq!(segments(&store.journal().await), [""; 0], "after {operations} operations");
    }
}

#[tokio::test]
async fn a_job_that_fails_at_any_operation_goes_on_to_the_same_bytes() {
    fail_everywhere("parquet", "parquet", |job| job).await;
}

#[tokio::test]
async fn a_job_that_encodes_fails_at_any_operation_and_goes_on() {
    fail_everywhere("parquet", "parquet", |job| job.codec(Codec::Snappy)).await;
    fail_everywhere("csv", "parquet", |job| job.format(Format::Parquet)).await;
    fail_everywhere("arrow", "parquet", |job| job.format(Format::Parquet)).await;
    fail_everywhere("parquet", "csv", |job| job.format(Format::Csv)).await;
    fail_everywhere("parquet", "json", |job| job.format(Format::Json)).await;
    fail_everywhere("csv", "arrow", |job| job.format(Format::Arrow)).await;
}

#[tokio::test]
async fn a_job_that_copies_other_formats_fails_at_any_operation_and_goes_on() {
    for ending in ["csv", "jsonl", "arrow"] {
        fail_everywhere(ending, ending, |job| job).await;
    }
}

#[tokio::test]
async fn blank_lines_of_a_single_column_are_copied_and_not_converted() {
    let classifier = classifier();
    let store = Faulty::new();
    let context = bucket(&store, "csv").await;
    for name in ["a", "day=2/b"] {
        let lines = "text\nI like you.\n\nI hate you.\n";
        store.inner.put(&Path::from(format!("in/{name}.csv")), lines.into()).await.unwrap();
    }
    let refused = label(&context, &classifier, |job| job.format(Format::Parquet)).await.unwrap_err();
    assert!(message(&refused).contains("2 of its 3 rows can be converted"), "{refused:?}");
    assert!(store.output().await.is_empty());
    let summary = label(&context, &classifier, |job| job).await.unwrap();
    assert_eq!(summary.counts.rows, 6);
}

#[tokio::test]
async fn a_footer_has_the_threshold_once_and_only_if_it_is_not_the_default() {
    let classifier = classifier();
    let default = classifier.config().problem_type.threshold(None);
    let entries = async |thresholds: &[f32]| {
        let store = Faulty::new();
        let context = bucket(&store, "parquet").await;
        let mut job = LabelJob::builder(Arc::clone(&classifier), ["s3://bucket/in/"], "text", "s3://bucket/out");
        for threshold in thresholds {
            job = job.threshold(*threshold);
        }
        job.session(context).build().plan().await.unwrap().run(&(), &Cancel::default()).await.unwrap();
        let file = SerializedFileReader::new(Bytes::from(store.output().await["out/a.parquet"].clone())).unwrap();
        let entries = file.metadata().file_metadata().key_value_metadata().unwrap().clone();
        let thresholds = entries.into_iter().filter(|entry| entry.key == "emotion.threshold");
        thresholds.map(|entry| entry.value.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(entries(&[0.75, 0.25]).await, ["0.25"]);
    assert_eq!(entries(&[default]).await, [""; 0]);
}

#[tokio::test]
async fn a_filter_refuses_what_needs_files() {
    let changes: [Change; 2] = [|job| job.keep_going(true), |job| job.restart(true)];
    for change in changes {
        let job = change(LabelJob::builder(classifier(), ["-"], "text", "-")).build();
        let input = futures::stream::iter([Ok(Bytes::from("text\nOh.\n"))]);
        let refused = job.filter(input, FileType::of("a.csv").unwrap(), None, &mut Vec::new()).await;
        assert!(matches!(refused, Err(LabelError::Refused(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn what_is_done_is_not_done_again() {
    let classifier = classifier();
    let store = Faulty::new();
    let context = bucket(&store, "parquet").await;
    label(&context, &classifier, |job| job).await.unwrap();
    let written = async || store.inner.head(&Path::from("out/a.parquet")).await.unwrap().last_modified;
    let before = written().await;
    label(&context, &classifier, |job| job).await.unwrap();
    assert_eq!(written().await, before);
    let label_alone: Change = |job| job.columns("label".parse::<Columns>().unwrap());
    let refused = label(&context, &classifier, label_alone).await.unwrap_err();
    assert!(matches!(refused, LabelError::Conflict(_)), "{refused:?}");
    assert!(refused.to_string().contains("--columns was label=label,score=score, is label=label"), "{refused}");
    let again: Change = |job| job.columns("label".parse::<Columns>().unwrap()).restart(true);
    label(&context, &classifier, again).await.unwrap();
    assert!(written().await > before);
}

/// Labels of the same rows of both files.
fn of_both(journal: &BTreeMap<String, Vec<u8>>) -> Option<(String, String)> {
    let of_a = segments(journal).into_iter().filter(|name| name.contains("a.csv"));
    let mut pairs = of_a.map(|of_a| (of_a.clone(), of_a.replace("a.csv", "day=2/b.csv")));
    pairs.find(|(_, of_b)| journal.contains_key(of_b))
}

/// Two files of other texts, and a job that was cut off when both had labels in its journal.
async fn cut_off(store: &Arc<Faulty>, classifier: &Arc<Classifier>) -> (SessionContext, BTreeMap<String, Vec<u8>>) {
    let context = bucket(store, "csv").await;
    for (name, text) in [("a", "I like you"), ("day=2/b", "This is terrible")] {
        let rows = (0..200).map(|row| format!("{text} for the {row}th time\n"));
        let file = "text\n".to_string() + &rows.collect::<String>();
        store.inner.put(&Path::from(format!("in/{name}.csv")), file.into()).await.unwrap();
    }
    // The files are labeled side by side, so that a number of operations does not always come to the same.
    for attempt in 0.. {
        store.restore(&BTreeMap::new()).await;
        store.left.store(attempt % 60, Relaxed);
        let result = label(&context, classifier, |job| job).await;
        store.left.store(i64::MAX, Relaxed);
        let journal = store.journal().await;
        if of_both(&journal).is_some() {
            return (context, journal);
        }
        assert!(attempt < 3_000, "no run ended with labels of both files in its journal: {result:?}");
    }
    unreachable!()
}

/// Labels with a journal that is damaged: the same bytes and counts come of it, if need be after a restart.
async fn label_anyway(
    store: &Arc<Faulty>,
    context: &SessionContext,
    classifier: &Arc<Classifier>,
    expected: &(BTreeMap<String, Vec<u8>>, Summary),
    what: &str,
) {
    let summary = match label(context, classifier, |job| job).await {
        Ok(summary) => summary,
        Err(error) => {
            let text = message(&error);
            assert!(matches!(error, LabelError::Conflict(_)), "{what}: {error:?}");
            assert!(text.contains("--restart"), "{what}: {text}");
            label(context, classifier, |job| job.restart(true)).await.unwrap_or_else(|error| panic!("{what}: {error}"))
        }
    };
    assert_eq!(store.output().await, expected.0, "{what}");
    assert_eq!((summary.counts.rows, &summary.counts.labels), (400, &expected.1.counts.labels), "{what}");
}

#[tokio::test]
async fn flipped_bits_of_a_journal_change_no_label() {
    let (store, classifier) = (Faulty::new(), classifier());
    let (context, cut_off) = cut_off(&store, &classifier).await;
    let summary = label(&context, &classifier, |job| job).await.unwrap();
    let expected = (store.output().await, summary);
    let mut complete = store.journal().await;
    complete.extend(expected.0.clone());
    for (state, files) in [("cut off", &cut_off), ("complete", &complete)] {
        for (name, bytes) in files.iter().filter(|(name, _)| name.contains(".emotion")) {
            for at in (0..bytes.len()).step_by(bytes.len().div_ceil(10)) {
                let mut flipped = files.clone();
                flipped.get_mut(name).unwrap()[at] ^= 1 << (at % 8);
                store.restore(&flipped).await;
                let what = format!("{state}: bit {} of byte {at} of {name}", at % 8);
                label_anyway(&store, &context, &classifier, &expected, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn swapped_and_cut_segments_change_no_label() {
    let (store, classifier) = (Faulty::new(), classifier());
    let (context, cut_off) = cut_off(&store, &classifier).await;
    let summary = label(&context, &classifier, |job| job).await.unwrap();
    let expected = (store.output().await, summary);
    let (of_a, of_b) = of_both(&cut_off).unwrap();
    let mut swapped = cut_off.clone();
    swapped.insert(of_a.clone(), cut_off[&of_b].clone());
    swapped.insert(of_b.clone(), cut_off[&of_a].clone());
    store.restore(&swapped).await;
    label_anyway(&store, &context, &classifier, &expected, "swapped").await;
    for length in [0, 1, cut_off[&of_a].len() - 1] {
        let mut cut = cut_off.clone();
        cut.get_mut(&of_a).unwrap().truncate(length);
        store.restore(&cut).await;
        label_anyway(&store, &context, &classifier, &expected, "cut").await;
    }
    let mut of_other_job = cut_off.clone();
    of_other_job.remove("out/.emotion/job.json");
    store.restore(&of_other_job).await;
    let other: Change = |job| job.columns("score".parse::<Columns>().unwrap());
    label(&context, &classifier, other).await.unwrap();
    let scores = store.output().await;
    store.restore(&BTreeMap::new()).await;
    label(&context, &classifier, other).await.unwrap();
    assert_eq!(store.output().await, scores, "labels of another job");
}

#[tokio::test]
async fn a_file_that_the_job_did_not_write_is_not_taken_for_done() {
    let (store, classifier) = (Faulty::new(), classifier());
    let (context, _) = cut_off(&store, &classifier).await;
    label(&context, &classifier, |job| job).await.unwrap();
    let (output, journal) = (store.output().await, store.journal().await);
    let refused = async |changed: &BTreeMap<String, Vec<u8>>, what: &str| {
        store.restore(changed).await;
        let error = label(&context, &classifier, |job| job).await.expect_err(what);
        assert!(matches!(error, LabelError::Conflict(_)), "{what}: {error:?}");
        label(&context, &classifier, |job| job.restart(true)).await.unwrap();
        assert_eq!(store.output().await, output, "{what}");
    };
    let complete: BTreeMap<_, _> = output.clone().into_iter().chain(journal.clone()).collect();
    let mut edited = complete.clone();
    let last = edited.get_mut("out/a.csv").unwrap().last_mut().unwrap();
    *last = b' ';
    refused(&edited, "one byte was edited").await;
    let mut forged = complete.clone();
    forged.insert("out/a.csv".into(), complete["out/day=2/b.csv"].clone());
    let done = |name: &str| format!("out/.emotion/files/{name}.csv/done.json");
    forged.insert(done("a"), complete[&done("day=2/b")].clone());
    refused(&forged, "the record of another file").await;
    let length = complete["out/a.csv"].len();
    forged.insert(done("a"), format!("{{\"bytes\":{length},\"counts\":{{}}}}").into());
    refused(&forged, "a record without a digest").await;
}

#[tokio::test]
async fn an_input_that_changed_in_place_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("a.csv"), folder.path().join("out"));
    std::fs::write(&input, "text\nI like you.\n").unwrap();
    let modified = std::fs::metadata(&input).unwrap().modified().unwrap();
    let classifier = classifier();
    let label = async || {
        let (input, output) = (input.to_str().unwrap(), output.to_str().unwrap());
        let job = LabelJob::builder(Arc::clone(&classifier), [input], "text", output).build();
        job.plan().await?.run(&(), &Cancel::default()).await
    };
    label().await.unwrap();
    std::fs::write(&input, "text\nI hate you.\n").unwrap();
    std::fs::File::options().write(true).open(&input).unwrap().set_modified(modified).unwrap();
    let error = label().await.unwrap_err();
    assert!(error.to_string().contains("has changed since labels were made of it"), "{error}");
}

/// An edit of a model: a file of its folder, and what becomes of its content.
type Edit = (&'static str, fn(Vec<u8>) -> Vec<u8>);

fn replaced(content: Vec<u8>, old: &str, new: &str) -> Vec<u8> {
    let text = String::from_utf8(content).unwrap();
    assert!(text.contains(old), "no {old} in {text}");
    text.replacen(old, new, 1).into()
}

#[tokio::test]
async fn a_job_whose_model_was_edited_is_not_continued() {
    let edits: [Edit; 7] = [
        ("config.json", |json| replaced(json, "\"0\": \"a\"", "\"0\": \"other\"")),
        ("config.json", |json| replaced(json, "\"activation\": \"relu\"", "\"activation\": \"gelu\"")),
        ("config.json", |json| replaced(json, "\"n_heads\": 3", "\"n_heads\": 4")),
        ("tokenizer_config.json", |json| replaced(json, "\"do_lower_case\": false", "\"do_lower_case\": true")),
        ("vocab.txt", |lines| replaced(lines, "\nI\n", "\nJ_\n")),
        ("special_tokens_map.json", |_| b"{}".into()),
        ("model.safetensors", |mut bytes| {
            let last = bytes.len() - 4;
            bytes[last] ^= 1;
            bytes
        }),
    ];
    let golden = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/relu-cased");
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden).unwrap().map(std::result::Result::unwrap) {
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let load = || Arc::new(Classifier::load(folder.path()).unwrap());
    let (store, classifier) = (Faulty::new(), load());
    let (context, cut_off) = cut_off(&store, &classifier).await;
    for (name, edit) in edits {
        let path = folder.path().join(name);
        let before = std::fs::read(&path).ok();
        std::fs::write(&path, edit(before.clone().unwrap_or_default())).unwrap();
        store.restore(&cut_off).await;
        let refused = label(&context, &load(), |job| job).await.expect_err(name);
        assert!(matches!(refused, LabelError::Conflict(_)), "{name}: {refused:?}");
        assert!(refused.to_string().contains("model files was"), "{name}: {refused}");
        match before {
            Some(before) => std::fs::write(path, before).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
    }
    label(&context, &load(), |job| job).await.unwrap();
}

#[tokio::test]
async fn a_reader_that_panics_fails_its_file_alone() {
    let classifier = classifier();
    for (ending, change) in [
        ("parquet", (|job| job) as Change),
        ("parquet", |job| job.codec(Codec::Snappy)),
        ("csv", |job| job),
        ("csv", |job| job.format(Format::Arrow)),
        ("arrow", |job| job),
    ] {
        let (mut panics, mut set_aside) = (0, 0);
        for reads in 0.. {
            let store = Faulty::new();
            let context = bucket(&store, ending).await;
            let run = async |keep_going: bool| {
                store.reads_left.store(reads, Relaxed);
                let job = LabelJob::builder(Arc::clone(&classifier), ["s3://bucket/in/"], "text", "s3://bucket/out");
                let job = change(job.session(context.clone())).keep_going(keep_going).build();
                job.plan().await?.run(&(), &Cancel::default()).await
            };
            let Err(error) = run(false).await else { break };
            panics += 1;
            assert!(message(&error).contains("the reader has a fault"), "{ending} {reads}: {error:?}");
            let summary = run(true).await.unwrap_or_else(|error| panic!("{ending} {reads}: {error:?}"));
            // The second run finds the labels of the first, and may need no read that panics.
            let damaged = format!("s3://bucket/in/a.{ending}");
            assert!(summary.set_aside.iter().all(|what| what.file == damaged), "{ending} {reads}: {summary:?}");
            let rows = if summary.set_aside.is_empty() { 240 } else { 120 };
            assert!(summary.counts.rows >= rows, "{ending} {reads}: the other file is not labeled");
            set_aside += summary.set_aside.len();
            store.reads_left.store(i64::MAX, Relaxed);
            let job = LabelJob::builder(Arc::clone(&classifier), ["s3://bucket/in/"], "text", "s3://bucket/out");
            let job = change(job.session(context)).build();
            let summary = job.plan().await.unwrap().run(&(), &Cancel::default()).await.unwrap();
            assert_eq!(summary.counts.rows, 240, "{ending} {reads}");
        }
        assert!(panics > 1 && set_aside > 1, "{ending}: {panics} panics, {set_aside} set aside");
    }
}

#[tokio::test]
async fn an_estimate_leaves_out_what_cannot_be_read() {
    let (store, classifier) = (Faulty::new(), classifier());
    let context = bucket(&store, "parquet").await;
    let job = LabelJob::builder(classifier, ["s3://bucket/in/"], "text", "s3://bucket/out");
    let plan = job.session(context).keep_going(true).build().plan().await.unwrap();
    store.reads_left.store(0, Relaxed);
    let estimate = plan.estimate().await.unwrap();
    assert_eq!((estimate.files.len(), estimate.rows_left()), (2, 240));
    assert!(estimate.sampled_rows > 0);
}

#[tokio::test]
async fn very_wide_files_are_copied_and_not_converted() {
    let (store, classifier) = (Faulty::new(), classifier());
    let context = bucket(&store, "csv").await;
    let names: Vec<String> = (0..20_000).map(|number| format!("c{number}")).collect();
    let csv = format!("text,{}\nI like you.{}\n", names.join(","), ",1".repeat(20_000));
    let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":1")).collect();
    let json = format!("{{\"text\":\"I like you.\",\"all\":{{{}}}}}\n", members.join(","));
    for (ending, file) in [("csv", csv), ("jsonl", json)] {
        store.inner.put(&Path::from(format!("wide/a.{ending}")), file.into()).await.unwrap();
        let input = format!("s3://bucket/wide/a.{ending}");
        let job = |output: &str| {
            let output = format!("s3://bucket/{output}");
            LabelJob::builder(Arc::clone(&classifier), [&input], "text", output).session(context.clone()).build()
        };
        let refused = job(&format!("{ending}.parquet")).plan().await.err().unwrap();
        assert!(message(&refused).contains("and 4096 can be converted"), "{refused:?}");
        let copied = job(&format!("copied.{ending}")).plan().await.unwrap().run(&(), &Cancel::default()).await;
        assert_eq!(copied.unwrap().counts.rows, 1);
    }
}

#[tokio::test]
async fn an_estimate_counts_the_time_of_each_file() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    std::fs::create_dir(&input).unwrap();
    for file in 0..100 {
        std::fs::write(input.join(format!("{file}.csv")), "text\nI like you.\n").unwrap();
    }
    let output = folder.path().join("out");
    let job = LabelJob::builder(classifier(), [input.to_str().unwrap()], "text", output.to_str().unwrap()).build();
    let estimate = job.plan().await.unwrap().estimate().await.unwrap();
    assert_eq!(estimate.files_left(), 100);
    assert!(estimate.time_per_file > Duration::ZERO);
    assert!(estimate.time_left().unwrap() >= 100 * estimate.time_per_file);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["in"], "the estimate has left files");
}

/// Damages 60 files of each format; `EMOTION_TEST_DAMAGES` asks for more.
#[tokio::test]
async fn damaged_files_do_not_end_a_job_that_keeps_going() {
    let classifier = classifier();
    let rounds = std::env::var("EMOTION_TEST_DAMAGES").map_or(60, |rounds| rounds.parse().expect("a number of files"));
    let mut random = 1_u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % below
    };
    for (ending, change) in [
        ("parquet", (|job| job) as Change),
        ("parquet", |job| job.format(Format::Json)),
        ("csv", |job| job),
        ("jsonl", |job| job),
        ("jsonl", |job| job.format(Format::Parquet)),
        ("arrow", |job| job),
        ("arrow", |job| job.format(Format::Parquet)),
        ("avro", |job| job),
    ] {
        let mut set_aside = 0;
        for round in 0..rounds {
            let store = Faulty::new();
            let context = bucket(&store, ending).await;
            let mut damaged = file(ending);
            match round % 3 {
                0 => damaged.truncate(next(damaged.len())),
                1 => {
                    let start = next(damaged.len());
                    let end = damaged.len().min(start + 1 + next(64));
                    damaged[start..end].fill(0xff);
                }
                _ => {
                    let at = next(damaged.len());
                    damaged[at] ^= 1 << next(8);
                }
            }
            store.inner.put(&Path::from(format!("in/a.{ending}")), damaged.into()).await.unwrap();
            let job = LabelJob::builder(Arc::clone(&classifier), ["s3://bucket/in/"], "text", "s3://bucket/out");
            let plan = change(job.session(context)).keep_going(true).build().plan().await;
            let plan = plan.unwrap_or_else(|error| panic!("{ending} {round}: {error:?}"));
            let summary = plan.run(&(), &Cancel::default()).await;
            let summary = summary.unwrap_or_else(|error| panic!("{ending} {round}: {error:?}"));
            assert!(summary.counts.rows >= 120, "{ending} {round}: the other file is not labeled: {summary:?}");
            set_aside += usize::from(!summary.set_aside.is_empty());
        }
        println!("{ending}: {set_aside} of {rounds} damaged files are set aside");
        assert!(set_aside > rounds / 3, "{ending}: {set_aside}");
    }
}
