//! A cluster on this machine: one scheduler and two executors, each a process.
//!
//! The programs are those that `cargo test --workspace --features cluster` builds.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::*;
use datafusion_emotion::EmotionExt;
use emotion_tests::{files, run, strings, texts};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use tempfile::TempDir;

/// How long anything may take to happen.
const PATIENCE: Duration = Duration::from_mins(1);

/// The models of the SQL files.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");

struct Cluster {
    port: u16,
    processes: Vec<Child>,
    folder: TempDir,
}

impl Cluster {
    fn start(executors: usize) -> Self {
        let mut cluster = Self { port: free_port(), processes: Vec::new(), folder: TempDir::new().unwrap() };
        let mut scheduler = program("emotion-scheduler");
        scheduler.args(["--external-host", "127.0.0.1"]);
        scheduler.arg("--models").arg(cluster.folder.path()).arg("--models").arg(GOLDEN);
        // The death of an executor is to be noticed before the test is over.
        scheduler.args(["--executor-timeout-seconds", "4", "--expire-dead-executor-interval-seconds", "1"]);
        scheduler.args(["--bind-port", &cluster.port.to_string()]);
        cluster.spawn(&mut scheduler);
        cluster.await_port(cluster.port);
        for id in 1..=executors {
            cluster.start_executor(id);
        }
        cluster
    }

    fn start_executor(&mut self, id: usize) {
        let [port, grpc_port, health_port] = [(); 3].map(|()| free_port());
        let work_dir = self.folder.path().join(id.to_string());
        std::fs::create_dir(&work_dir).unwrap();
        let mut executor = program("emotion-executor");
        executor.args(["--external-host", "127.0.0.1", "--vcores", "1"]);
        executor.arg("--models").arg(self.folder.path()).arg("--models").arg(GOLDEN);
        executor.args(["--id", &format!("number-{id}"), "--executor-heartbeat-interval-seconds", "1"]);
        executor.args(["--scheduler-host", "127.0.0.1", "--scheduler-port", &self.port.to_string()]);
        executor.args(["--bind-port", &port.to_string(), "--bind-grpc-port", &grpc_port.to_string()]);
        executor.args(["--bind-health-port", &health_port.to_string()]);
        executor.arg("--work-dir").arg(work_dir);
        self.spawn(&mut executor);
        self.await_port(grpc_port);
        self.await_port(port);
    }

    fn spawn(&mut self, program: &mut Command) {
        let log = std::fs::File::create(self.folder.path().join(format!("{}.log", self.processes.len()))).unwrap();
        let process = program.stderr(log).stdout(Stdio::null()).stdin(Stdio::null()).spawn();
        self.processes.push(
            process.unwrap_or_else(|e| panic!("{program:?}: {e}; cargo test --workspace --features cluster builds it")),
        );
    }

    /// Returns once the process that was spawned last listens on the port.
    fn await_port(&mut self, port: u16) {
        let process = self.processes.last_mut().unwrap();
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(process.try_wait().unwrap().is_none(), "the process that was to listen on {port} has ended");
            assert!(start.elapsed() < PATIENCE, "nothing listens on {port}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn address(&self) -> String {
        format!("df://127.0.0.1:{}", self.port)
    }

    async fn context(&self) -> SessionContext {
        emotion_ballista::connect(&self.address(), state()).await.unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            for log in 0..self.processes.len() {
                let log = std::fs::read_to_string(self.folder.path().join(format!("{log}.log"))).unwrap_or_default();
                let lines: Vec<_> =
                    log.lines().filter(|line| line.contains("ERROR") || line.contains("WARN")).collect();
                eprintln!("{}", lines.join("\n"));
            }
        }
    }
}

/// A program beside the folder of this test's own.
fn program(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    Command::new(folder.join(name).with_extension(std::env::consts::EXE_EXTENSION))
}

/// A port that nothing listens on and that this process does not return again.
///
/// Systems take the ports of outgoing connections from 32768 upwards, so a port of that range can be
/// taken between this call and the start of the program that is to listen on it.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(64);
    let candidates =
        std::iter::repeat_with(|| 10_000 + first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 22_000);
    let mut ports = candidates.map(|port| u16::try_from(port).unwrap());
    ports.find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()).unwrap()
}

fn state() -> datafusion::execution::SessionState {
    let config = SessionConfig::new().with_target_partitions(2).with_information_schema(true);
    SessionStateBuilder::new().with_config(config).with_default_features().with_emotion().build()
}

/// The table of the SQL files, as files.
async fn write_texts(folder: &Path) -> Result<String> {
    let path = folder.join("texts.parquet").display().to_string();
    let context = SessionContext::new();
    context.register_batch("texts", texts(strings()))?;
    let single = DataFrameWriteOptions::new().with_single_file_output(true);
    context.table("texts").await?.write_parquet(&path, single, None).await?;
    Ok(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_gives_what_it_gives_here() -> Result<()> {
    let cluster = Cluster::start(2);
    let table = write_texts(cluster.folder.path()).await?;
    // Counts of work are those of this process, and plans are another planner's.
    let told_apart = |file: &PathBuf| !file.ends_with("stats.slt") && !file.ends_with("plans.slt");
    for file in files("").into_iter().chain(files("every_table")).filter(told_apart) {
        let context = cluster.context().await;
        context.register_parquet("texts", &table, ParquetReadOptions::default()).await?;
        run(context, &file, "cluster").await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_here_is_refused_there() -> Result<()> {
    let cluster = Cluster::start(1);
    let table = write_texts(cluster.folder.path()).await?;
    let (here, there) = (SessionContext::new_with_state(state()), cluster.context().await);
    for context in [&here, &there] {
        context.register_parquet("texts", &table, ParquetReadOptions::default()).await?;
    }
    for sql in [
        "SELECT emotion_classify(id) FROM texts",
        "SELECT emotion_score(text, 'jog') FROM texts",
        "SELECT emotion_score(text, note) FROM texts",
        "SELECT emotion_classify(text, 'nobody') FROM texts",
        "SELECT emotion_classify(txt) FROM texts",
        "SELECT emotion_classify(text) FROM nowhere",
        "SET emotion.precision = 'int4'",
    ] {
        let (expected, refused) = (refusal(&here, sql).await, refusal(&there, sql).await);
        assert_eq!(expected, refused, "{sql}");
    }
    Ok(())
}

async fn refusal(context: &SessionContext, sql: &str) -> String {
    let result = match context.sql(sql).await {
        Ok(frame) => frame.collect().await,
        Err(error) => Err(error),
    };
    result.expect_err(sql).find_root().strip_backtrace()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_without_the_model_says_so() -> Result<()> {
    let cluster = Cluster::start(1);
    let table = write_texts(cluster.folder.path()).await?;
    let model = cluster.folder.path().join("model");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/one-head"), &model);
    let context = cluster.context().await;
    context.register_parquet("texts", &table, ParquetReadOptions::default()).await?;
    let create = format!("CREATE FUNCTION mine(STRING) RETURNS STRING LANGUAGE DISTILBERT AS '{}'", model.display());
    context.sql(&create).await?.collect().await?;
    std::fs::remove_dir_all(&model).unwrap();

    let error = refusal(&context, "SELECT mine(text) FROM texts").await;
    assert!(error.contains("executor number-1 at 127.0.0.1"), "{error}");
    assert!(error.contains(&format!("has no model '{}'", model.display())), "{error}");
    // And works once it is there.
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/one-head"), &model);
    let rows = context.sql("SELECT mine(text) FROM texts").await?.collect().await?;
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 8);
    Ok(())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Files of rows that repeat nowhere, in row groups.
fn write_inputs(folder: &Path, files: usize, rows: usize) {
    std::fs::create_dir(folder).unwrap();
    for file in 0..files {
        let ids = (file * rows..(file + 1) * rows).map(|id| i64::try_from(id).unwrap());
        let texts = ids.clone().map(|id| match id % 10 {
            0 => None,
            1 => Some(String::new()),
            _ => Some(format!("It was a day like any other, the {id}th, and I do not know whether I liked it at all.")),
        });
        let columns: [(&str, ArrayRef); 2] =
            [("id", Arc::new(ids.clone().collect::<Int64Array>())), ("text", Arc::new(texts.collect::<StringArray>()))];
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows / 2 + 1)).build();
        let output = std::fs::File::create(folder.join(format!("{file}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(output, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    std::fs::write(folder.join("last.csv"), "id,text\n1,I like you.\n2,\"Go away,\nI hate you!\"\n").unwrap();
}

fn label(folder: &Path, output: &str, more: &[&str]) -> Command {
    let mut label = program("emotion");
    label.current_dir(folder).args(["label", "in", "--text", "text", "-o", output, "--format", "parquet"]);
    label.args(["--columns", "label,score,scores,truncated", "--json"]).args(more);
    label.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    label
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The labeled files by their names.
fn labeled(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).map_or(Vec::new(), |entries| entries.map(Result::unwrap).collect());
    let name = |entry: &std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let files =
        entries.iter().filter(|entry| name(entry).ends_with(".parquet") && !name(entry).starts_with(['.', '_']));
    let mut files: Vec<_> = files.map(|entry| (name(entry), std::fs::read(entry.path()).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_labeling_job_survives_an_executor() {
    let mut cluster = Cluster::start(2);
    let folder = cluster.folder.path().to_path_buf();
    write_inputs(&folder.join("in"), 24, 80);
    succeeded(&label(&folder, "here", &[]).output().unwrap());

    let address = cluster.address();
    let mut job = label(&folder, "there", &["--cluster", &address]).spawn().unwrap();
    let start = Instant::now();
    while labeled(&folder.join("there")).is_empty() {
        assert!(start.elapsed() < PATIENCE, "no file is labeled");
        assert!(job.try_wait().unwrap().is_none(), "the job ended early");
        std::thread::sleep(Duration::from_millis(20));
    }
    let before = labeled(&folder.join("there")).len();
    cluster.processes[1].kill().unwrap();
    assert!(before < 25, "the job was done before the executor was killed");
    let summary = succeeded(&job.wait_with_output().unwrap());
    assert!(summary.contains("\"rows\": 1922"), "{summary}");

    let (here, there) = (labeled(&folder.join("here")), labeled(&folder.join("there")));
    assert_eq!(here.len(), 25);
    assert!(here == there, "the files differ");
}

#[test]
fn damaged_files_are_set_aside_as_they_are_here() {
    let cluster = Cluster::start(1);
    let folder = cluster.folder.path();
    write_inputs(&folder.join("in"), 2, 40);
    damage(&folder.join("in/1.parquet"));
    let address = cluster.address();
    let run = |output: &str, more: &[&str]| {
        let output = label(folder, output, more).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.code(),
            said.lines().filter(|line| line.contains("1.parquet")).map(String::from).collect::<Vec<_>>(),
        )
    };
    let (here, there) = (run("here", &[]), run("there", &["--cluster", &address]));
    assert_eq!(here, there);
    assert_eq!(here.0, Some(1));
    // What the one began, the other ends.
    let (here, there) = (run("there", &["--keep-going"]), run("here", &["--keep-going", "--cluster", &address]));
    assert_eq!(here, there);
    assert_eq!(here.0, Some(3));
    assert!(labeled(&folder.join("here")) == labeled(&folder.join("there")), "the files differ");
}

#[test]
fn a_job_with_a_threshold_gives_the_same_bytes() {
    let cluster = Cluster::start(1);
    let folder = cluster.folder.path();
    write_inputs(&folder.join("in"), 1, 60);
    let (threshold, address) = (["--threshold", "0.7"], cluster.address());
    let all = succeeded(&label(folder, "all", &[]).output().unwrap());
    let here = succeeded(&label(folder, "here", &threshold).output().unwrap());
    succeeded(&label(folder, "there", &[&threshold[..], &["--cluster", &address]].concat()).output().unwrap());
    let counts = |summary: &str| summary.split_once("\"labels\"").unwrap().1.split_once('}').unwrap().0.to_string();
    assert_ne!(counts(&all), counts(&here), "some texts have no label");
    assert!(labeled(&folder.join("here")) == labeled(&folder.join("there")), "the files differ");
}

/// Spoils the first page of texts.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let file = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
    let texts = file.metadata().row_group(0).column(1);
    let page = usize::try_from(texts.dictionary_page_offset().unwrap_or(texts.data_page_offset())).unwrap();
    bytes[page..page + 60].fill(0xff);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_cluster_that_is_not_there() {
    let folder = TempDir::new().unwrap();
    write_inputs(&folder.path().join("in"), 1, 10);
    let address = format!("df://127.0.0.1:{}", free_port());
    let output = label(folder.path(), "out", &["--cluster", &address]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains(&format!("no scheduler answers at {address}")), "{error}");
}
