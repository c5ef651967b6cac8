//! What to label, and how.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::prelude::SessionContext;
use emotion_classifier::{Classifier, ClassifyOptions, LongText};
use encoding_rs::Encoding;
use futures::Stream;

use crate::format::{Compression, FileType, Format};
use crate::job::choices::{Choices, opened_as};
#[cfg(feature = "cluster")]
use crate::job::cluster::Cluster;
use crate::job::codec::Codec;
use crate::job::columns::Columns;
use crate::job::error::{LabelError, Result};
use crate::job::error_list;
use crate::job::filter::Filter;
use crate::job::inputs::{self, Input, Inputs};
use crate::job::journal::{JobKey, Journal};
use crate::job::labeler::Labeler;
#[cfg(not(feature = "cluster"))]
use crate::job::no_cluster::Cluster;
use crate::job::plan::Plan;
use crate::job::storage::Storage;
use crate::job::summary::Summary;
use crate::job::target::targets;
use crate::local_files::LocalFiles;

/// Files to label, and how.
///
/// [`plan`](Self::plan) looks at the files and at what an earlier run has left, and [`Plan::run`] labels them.
#[derive(Clone)]
pub struct LabelJob {
    session: SessionContext,
    classifier: Arc<Classifier>,
    inputs: Vec<String>,
    output: String,
    columns: Columns,
    format: Option<Format>,
    long_text: LongText,
    threshold: Option<f32>,
    restart: bool,
    cluster: Option<Cluster>,
    choices: Choices,
}

impl LabelJob {
    /// A job that labels the `text` column of `inputs` into `output` by this classifier.
    ///
    /// An input is a file, a folder with all that is under it, or a pattern; the output is a folder, or for one input a
    /// file. Both may be addresses of object stores that are registered in the [session](LabelJobBuilder::session).
    pub fn builder(
        classifier: Arc<Classifier>,
        inputs: impl IntoIterator<Item = impl Into<String>>,
        text: impl Into<String>,
        output: impl Into<String>,
    ) -> LabelJobBuilder {
        let choices = Choices::new(text.into(), footer(&classifier));
        LabelJobBuilder(Self {
            session: local_session(),
            classifier,
            inputs: inputs.into_iter().map(Into::into).collect(),
            output: output.into(),
            columns: Columns::default(),
            format: None,
            long_text: LongText::default(),
            threshold: None,
            restart: false,
            cluster: None,
            choices,
        })
    }

    /// Looks at every file, so that what is wrong with one is found before the first text is labeled.
    ///
    /// Nothing is written.
    ///
    /// # Errors
    ///
    /// [`LabelError::Refused`], if an input does not exist, or the options do not fit the files;
    /// [`LabelError::Conflict`], if the output was made by another job, or an input has changed since;
    /// [`LabelError::Input`], if a file cannot be labeled, unless the job is to keep going.
    pub async fn plan(&self) -> Result<Plan> {
        let session = ordered(&self.session);
        #[cfg(feature = "cluster")]
        if let Some(cluster) = &self.cluster {
            cluster.check(&session).await?;
        }
        let storage = Storage::open(&session, &self.output)?;
        let is_csv = self.choices.delimiter.is_some();
        let keep_going = self.choices.keep_going;
        let Inputs { files: inputs, left_out } =
            inputs::find(&session, &self.inputs, is_csv, keep_going, &storage).await?;
        let format = self.output_format(&inputs, &storage)?;
        let targets = targets(&inputs, format, &storage)?;
        let paths: Vec<_> = inputs.iter().filter_map(Input::local_path).collect();
        storage.check(targets.iter().map(|target| &*target.name), &paths)?;
        if keep_going {
            error_list::check(&storage).await?;
        }
        let journal = Journal::look(storage, self.key(format), self.restart).await?;
        let labeler = self.labeler(format);
        let (choices, cluster) = (self.choices(), self.cluster.clone());
        let files = inputs.into_iter().zip(targets);
        Plan::of(session, labeler, choices, cluster, journal, files, left_out).await
    }

    /// Labels a stream into the same format, as it comes and without a journal.
    ///
    /// `file` is the type of the stream: CSV, TSV, JSON lines or Arrow. `compression` is that of the output as a whole.
    /// The job's first input and its output are what messages call the stream and the output.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// use emotion_classifier::Classifier;
    /// use emotion_label::format::FileType;
    /// use emotion_label::job::LabelJob;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let classifier = Arc::new(Classifier::load("../../tests/golden/one-head")?);
    /// let job = LabelJob::builder(classifier, ["standard input"], "text", "-").columns("truncated".parse()?).build();
    /// let input = futures::stream::iter([Ok("text\nI like".into()), Ok(" you.\n".into())]);
    /// let (file, mut output) = (FileType::of("a.csv").unwrap(), Vec::new());
    /// let summary = job.filter(input, file, None, &mut output).await?;
    /// assert_eq!((summary.counts.rows, &output[..]), (1, &b"text,truncated\nI like you.,false\n"[..]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`LabelError::Refused`], if the job asks for another format than that of the stream, or for a cluster, for
    /// [`keep_going`](LabelJobBuilder::keep_going) or for [`restart`](LabelJobBuilder::restart); [`LabelError::File`],
    /// if the stream cannot be labeled; [`LabelError::Failed`], if it cannot be read, or the output cannot be written.
    /// Output that is not compressed as a whole consists of complete rows when an error is returned; compressed output
    /// is incomplete then.
    pub async fn filter<S>(
        &self,
        input: S,
        file: FileType,
        compression: Option<Compression>,
        output: &mut (impl Write + Send),
    ) -> Result<Summary>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Unpin,
    {
        let shown = self.inputs.first().map_or("the input", String::as_str);
        if self.cluster.is_some() || self.choices.keep_going || self.restart {
            let what = format!("'{shown}' cannot be labeled as it comes on a cluster, with keep_going or with restart");
            return Err(LabelError::Refused(what));
        }
        let format = self.format.unwrap_or(file.format);
        if !self.choices.copies(file.format, format) {
            let what = format!("'{shown}' cannot be converted as it comes: write it to a file first");
            return Err(LabelError::Refused(what));
        }
        let labeler = self.labeler(format);
        let mut options = self.choices().options(shown, file.format, labeler.schema());
        options.batch_rows = self.choices.batch_rows();
        options.is_prompt = true;
        let (labeler, file) = (Arc::new(labeler), opened_as(file));
        let started = Instant::now();
        let counts = Filter { labeler, file, compression, options }.run(input, output).await?;
        let seconds = started.elapsed().as_secs_f64();
        let rows_per_second = counts.rows as f64 / seconds.max(1e-3);
        let (output, set_aside) = (self.output.clone(), Vec::new());
        Ok(Summary { output, files: 1, other_files: 0, counts, seconds, rows_per_second, set_aside })
    }

    /// How the job reads and writes. A footer has the threshold if it is not the default, whether or not it was given,
    /// so that jobs of one key write the same bytes.
    fn choices(&self) -> Choices {
        let (mut choices, problem_type) = (self.choices.clone(), self.classifier.config().problem_type);
        let threshold = problem_type.threshold(self.threshold);
        if threshold.to_string() != problem_type.threshold(None).to_string() {
            choices.model.push(("emotion.threshold".into(), threshold.to_string()));
        }
        choices
    }

    fn labeler(&self, format: Format) -> Labeler {
        let mut options = ClassifyOptions::default().long_text(self.long_text);
        options.threshold = self.threshold;
        Labeler::new(Arc::clone(&self.classifier), options, self.columns.clone(), format)
    }

    fn output_format(&self, inputs: &[Input], storage: &Storage) -> Result<Format> {
        let named = storage.file_type().map(|file| file.format);
        if let (Some(format), Some(named)) = (self.format, named)
            && format != named
        {
            let (output, format, named) = (&self.output, format.name(), named.name());
            return Err(LabelError::Refused(format!(
                "'{output}' has the extension of {named}, and --format asks for {format}: leave --format out, or choose \
                 another name"
            )));
        }
        if let Some(format) = self.format.or(named) {
            return Ok(format);
        }
        let mut formats = inputs.iter().map(|input| input.file.format.output());
        let first = formats.next().ok_or_else(|| LabelError::Refused("there is nothing to label".into()))?;
        if formats.any(|format| format != first) {
            let what = "the files are of several formats: choose one for all labeled files with --format";
            return Err(LabelError::Refused(what.into()));
        }
        Ok(first)
    }

    /// All that the bytes of the output depend on, but for the input.
    fn key(&self, format: Format) -> JobKey {
        let (classifier, choices) = (&self.classifier, &self.choices);
        let mut key = JobKey::from(
            [
                ("program version", env!("CARGO_PKG_VERSION").to_string()),
                ("model files", classifier.model_sha256()),
                ("model configuration", classifier.config_sha256()),
                ("model weights", classifier.weights_sha256()),
                ("tokenizer", classifier.tokenizer_sha256()),
                ("arithmetic", classifier.compute().arithmetic().into()),
                ("--precision", classifier.precision().to_string()),
                ("--backend", classifier.backend().to_string()),
                ("--device", classifier.device().to_string()),
                ("--max-length", classifier.max_length().to_string()),
                ("--long-text", self.long_text.to_string()),
                ("--threshold", classifier.config().problem_type.threshold(self.threshold).to_string()),
                ("--text", choices.text.clone()),
                ("--columns", self.columns.to_string()),
                ("--format", format.name().to_lowercase()),
            ]
            .map(|(name, value)| (name.to_string(), value)),
        );
        if format == Format::Parquet {
            let as_input = || "as in the input".to_string();
            let codec = choices.codec.map_or_else(as_input, |codec| codec.name().to_string());
            let rows = choices.row_group_rows.map_or_else(as_input, |rows| rows.to_string());
            key.extend([("--compression".into(), codec), ("--row-group-rows".into(), rows)]);
        }
        let character = |character: Option<u8>| character.map(|character| char::from(character).to_string());
        let of_text = [
            ("--delimiter", character(choices.delimiter)),
            ("--escape", character(choices.escape)),
            ("--encoding", choices.encoding.map(|encoding| encoding.name().to_string())),
        ];
        key.extend(of_text.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))));
        key
    }
}

/// Sets the options of a [`LabelJob`].
#[derive(Clone)]
#[must_use]
pub struct LabelJobBuilder(LabelJob);

impl LabelJobBuilder {
    /// The session whose object stores hold the inputs and the output; by default the local files.
    pub fn session(mut self, session: SessionContext) -> Self {
        self.0.session = session;
        self
    }

    /// The columns to add; by default `label` and `score`.
    pub fn columns(mut self, columns: Columns) -> Self {
        self.0.columns = columns;
        self
    }

    /// The format of the output; by default that of the input, or that of the output's name.
    pub fn format(mut self, format: Format) -> Self {
        self.0.format = Some(format);
        self
    }

    /// How Parquet pages are compressed; by default as in the input, or by zstd.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.0.choices.codec = Some(codec);
        self
    }

    /// Rows of a Parquet row group; by default as in the input, or at most 1,048,576 rows and 128 MiB.
    pub fn row_group_rows(mut self, rows: NonZeroUsize) -> Self {
        self.0.choices.row_group_rows = Some(rows.get());
        self
    }

    /// Reads the files as CSV with this ASCII character between fields, whatever their extensions.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.0.choices.delimiter = Some(delimiter);
        self
    }

    /// The ASCII character before a quote within a quoted field of a CSV file; by default quotes are doubled.
    pub fn escape(mut self, escape: u8) -> Self {
        self.0.choices.escape = Some(escape);
        self
    }

    /// The encoding of CSV files; by default that of the byte order mark, or UTF-8.
    pub fn encoding(mut self, encoding: &'static Encoding) -> Self {
        self.0.choices.encoding = Some(encoding);
        self
    }

    /// What becomes of texts with more tokens than the model takes.
    pub fn long_text(mut self, long_text: LongText) -> Self {
        self.0.long_text = long_text;
        self
    }

    /// The probability from which a label holds; by default 0.5 for multi-label models and 0 for others.
    ///
    /// # Panics
    ///
    /// If it is not a probability from 0 to 1.
    pub fn threshold(mut self, threshold: f32) -> Self {
        assert!((0.0..=1.0).contains(&threshold), "{threshold} is not a probability from 0 to 1");
        self.0.threshold = Some(threshold);
        self
    }

    /// Whether to leave out files and row groups that cannot be read, and to list them in a file of errors.
    pub fn keep_going(mut self, keep_going: bool) -> Self {
        self.0.choices.keep_going = keep_going;
        self
    }

    /// Whether to label again what was labeled otherwise, or has changed.
    pub fn restart(mut self, restart: bool) -> Self {
        self.0.restart = restart;
        self
    }

    /// The work that a kill may cost; by default ten seconds.
    pub fn commit_every(mut self, time: Duration) -> Self {
        self.0.choices.commit_every = time;
        self
    }

    /// Labels on the cluster of the scheduler at an address such as `df://localhost:50050`, whose executors see the
    /// inputs under the same names. The options of the session travel with each query.
    #[cfg(feature = "cluster")]
    pub fn cluster(mut self, address: impl Into<String>) -> Self {
        self.0.cluster = Some(Cluster(address.into()));
        self.0.choices.on_cluster = true;
        self
    }

    /// The job.
    #[must_use]
    pub fn build(self) -> LabelJob {
        self.0
    }
}

/// A session of local files, whatever their names.
fn local_session() -> SessionContext {
    let session = SessionContext::new();
    let files = ObjectStoreUrl::local_filesystem();
    session.register_object_store(files.as_ref(), Arc::new(LocalFiles::new()));
    session
}

/// The session with rows in the order of their file, and with all that is in a folder.
fn ordered(session: &SessionContext) -> SessionContext {
    let mut config = session.copied_config();
    let options = config.options_mut();
    options.execution.target_partitions = 1;
    options.execution.listing_table_ignore_subdirectory = false;
    let state = SessionStateBuilder::new_from_existing(session.state()).with_config(config).build();
    SessionContext::new_with_state(state)
}

/// What a footer tells of the model.
fn footer(classifier: &Classifier) -> Vec<(String, String)> {
    let entries = [
        ("emotion.model", classifier.origin().to_string()),
        ("emotion.model_sha256", classifier.weights_sha256()),
        ("emotion.tokenizer_sha256", classifier.tokenizer_sha256()),
        ("emotion.labels", classifier.labels().join(",")),
        ("emotion.precision", classifier.precision().to_string()),
        ("emotion.max_length", classifier.max_length().to_string()),
        ("emotion.version", env!("CARGO_PKG_VERSION").to_string()),
    ];
    entries.map(|(key, value)| (key.to_string(), value)).into()
}
