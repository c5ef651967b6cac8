//! The program as a person meets it: arguments, pipes, files, and the wrong input too.

mod common;

use std::fs;
use std::io::Write;
use std::process::{Output, Stdio};

use common::{assert_fails, emotion, output_of, root, run, text};
use tempfile::TempDir;

fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child =
        emotion(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn sql_over_the_sample_file() {
    let query = "SELECT emotion_classify(text) AS emotion, count(*) AS texts \
                 FROM 'data/reviews.parquet' GROUP BY 1 ORDER BY 2 DESC, 1";
    let table = run(&["sql", "-c", query]);
    let table = output_of(&table);
    assert!(table.contains("| emotion  | texts |") && table.contains("row(s) fetched"), "{table}");

    let csv = run(&["sql", "-c", query, "--format", "csv"]);
    let lines: Vec<_> = output_of(&csv).lines().collect();
    assert_eq!(lines[0], "emotion,texts");
    assert_eq!(lines.len(), 8, "six labels and NULL: {lines:?}");
    let total: u32 = lines[1..].iter().map(|line| line.split_once(',').unwrap().1.parse::<u32>().unwrap()).sum();
    assert_eq!(total, 282);
}

#[test]
fn csv_holds_every_row_beyond_the_tables_limit() {
    let query = "SELECT value FROM range(100000)";
    let output = run(&["sql", "-c", query, "--format", "csv"]);
    assert_eq!(output_of(&output).lines().count(), 100_001);
    let output = run(&["sql", "-c", query, "--maxrows", "5"]);
    assert!(output_of(&output).contains("First 5 displayed"));
}

#[test]
fn sql_from_files_and_pipes_runs_every_statement() {
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("script.sql");
    let sql = "-- a comment\nCREATE VIEW v AS SELECT 1 AS n;\nSELECT n + 1 AS m\n  FROM v;\n";
    fs::write(&script, sql).unwrap();
    let arguments = ["sql", "--format", "csv"];
    let from_file = run(&["sql", "--format", "csv", "-f", script.to_str().unwrap()]);
    let from_pipe = run_with_input(&arguments, sql.as_bytes());
    for output in [from_file, from_pipe] {
        assert_eq!(output_of(&output), "m\n2\n");
    }
}

#[test]
fn a_failing_statement_stops_the_script() {
    let output = run_with_input(&["sql", "--format", "csv"], b"SELECT nope; SELECT 7 AS seven;");
    assert_fails(&output, &["nope"]);
    assert!(!text(&output.stdout).contains('7'));
}

#[test]
fn sql_errors_say_what_to_do() {
    assert_fails(&run(&["sql", "-c", "SELEC 1"]), &["SELEC"]);
    assert_fails(&run(&["sql", "-f", "no/such.sql"]), &["no/such.sql"]);
    assert_fails(
        &run(&["sql", "-c", "SELECT * FROM 'data/nope.parquet'"]),
        &["there is no file 'data/nope.parquet'", "current folder"],
    );
    assert_fails(&run(&["sql", "-c", "SELECT * FROM reviews"]), &["table 'datafusion.public.reviews' not found"]);
    assert_fails(
        &run(&["sql", "-c", "SELECT emotion_classify(id) FROM 'data/reviews.parquet'"]),
        &["emotion_classify", "Int64", "CAST(x AS VARCHAR)"],
    );
    assert_fails(
        &run(&["sql", "--model", "no/such/folder", "-c", "SELECT 1"]),
        &["no model folder at 'no/such/folder'", "config.json"],
    );
}

#[test]
fn files_that_are_not_what_their_name_says() {
    let folder = TempDir::new().unwrap();
    let query = |name: &str| format!("SELECT count(*) FROM '{}'", folder.path().join(name).display());
    fs::create_dir(folder.path().join("folder.parquet")).unwrap();
    assert_fails(&run(&["sql", "-c", &query("folder.parquet")]), &["folder.parquet"]);
    fs::write(folder.path().join("text.parquet"), "not a Parquet file").unwrap();
    assert_fails(&run(&["sql", "-c", &query("text.parquet")]), &["Parquet"]);
    let whole = fs::read(root().join("data/reviews.parquet")).unwrap();
    fs::write(folder.path().join("cut.parquet"), &whole[..whole.len() / 2]).unwrap();
    assert_fails(&run(&["sql", "-c", &query("cut.parquet")]), &["Parquet"]);
    fs::write(folder.path().join("notes.xyz"), "text").unwrap();
    assert_fails(&run(&["sql", "-c", &query("notes.xyz")]), &["must end in .parquet"]);
}

#[test]
fn classify_prints_tables_csv_and_json() {
    let texts = ["I am so happy for you!", "I am scared, \"really\""];
    let table = run(&["classify", texts[0], texts[1]]);
    let table = output_of(&table);
    for part in ["| text ", "label", "score", "surprise", "| joy ", "| fear "] {
        assert!(table.contains(part), "no '{part}' in {table}");
    }

    let csv = run(&["classify", "--format", "csv", texts[0], texts[1]]);
    let csv: Vec<_> = output_of(&csv).lines().map(str::to_owned).collect();
    assert_eq!(csv[0], "text,label,score,sadness,joy,love,anger,fear,surprise");
    assert!(csv[2].starts_with("\"I am scared, \"\"really\"\"\",fear,0."), "{}", csv[2]);

    let json = run(&["classify", "--format", "json", texts[0]]);
    let json: serde_json::Value = serde_json::from_str(output_of(&json)).unwrap();
    assert_eq!(json["label"], "joy");
    assert_eq!(json["score"], json["scores"]["joy"]);
}

#[test]
fn classify_reads_a_line_each_from_standard_input() {
    let lines: Vec<_> = (0..1500).map(|i| format!("line {}", i % 10)).collect();
    let model = root().join("tests/golden/gelu-json");
    let arguments = ["classify", "--format", "csv", "--model", model.to_str().unwrap()];
    let output = run_with_input(&arguments, lines.join("\n").as_bytes());
    let csv: Vec<_> = output_of(&output).lines().collect();
    assert_eq!(csv[0], "text,label,score,negative,neutral,positive");
    assert_eq!(csv.len(), 1501);
    assert!(csv[1..].iter().zip(&lines).all(|(row, line)| row.starts_with(&format!("{line},"))));
    assert_eq!(output_of(&run_with_input(&arguments, b"")), "");
    assert_fails(&run_with_input(&arguments, b"fine\n\xFF\xFE\n"), &["line 2", "UTF-8"]);
}

#[test]
fn max_length_is_checked_and_used() {
    assert_fails(&run(&["classify", "--max-length", "513", "x"]), &["513", "512"]);
    let long = run(&["classify", "--format", "json", "--max-length", "3", "sad sad sad"]);
    let short = run(&["classify", "--format", "json", "sad"]);
    let score =
        |output: &Output| serde_json::from_str::<serde_json::Value>(output_of(output)).unwrap()["scores"].clone();
    assert_eq!(score(&long), score(&short));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = emotion(&["sql", "--format", "csv", "-c", "SELECT value FROM range(1000000)"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn help_and_version() {
    assert!(output_of(&run(&["--version"])).starts_with("emotion "));
    for arguments in [&["--help"][..], &["sql", "--help"], &["classify", "--help"]] {
        assert!(output_of(&run(arguments)).contains("Usage: emotion"));
    }
    assert_eq!(run(&[]).status.code(), Some(2));
}

#[test]
fn eval_measures_a_model() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("labeled.csv");
    let rows = "text,feeling\nI am so happy for you!,joy\nI am so happy for you!,sadness\n,joy\n\
                I was terrified of the dark.,fear\n\"Go away, I hate you!\",anger\nno label,\n";
    fs::write(&file, rows).unwrap();
    let (file, page) = (file.display().to_string(), folder.path().join("page.html"));
    let arguments = ["eval", &file, "--text", "text", "--label", "feeling"];

    let printed = run(&arguments);
    let printed = output_of(&printed);
    assert!(printed.contains("accuracy 0.7500   F1 0.6667 (weighted) 0.6667 (macro)"), "{printed}");

    let json = run(&[&arguments[..], &["--format", "json", "--html", page.to_str().unwrap()]].concat());
    let json: serde_json::Value = serde_json::from_str(output_of(&json)).unwrap();
    assert_eq!((&json["test_samples"], &json["skipped_rows"]), (&4.into(), &2.into()));
    assert_eq!(json["test_accuracy"], 0.75);
    assert_eq!(json["confusion_matrix"][0][1], 1, "a text of sadness was given joy");
    for key in ["test_f1", "test_loss", "test_runtime", "test_samples_per_second", "peak_memory_bytes"] {
        assert!(json[key].as_f64().unwrap() > 0.0, "{key}");
    }
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("0.7500") && !page.contains("http"), "{page}");

    assert_fails(
        &run(&["eval", &file, "--text", "texts", "--label", "feeling"]),
        &["no column 'texts'", "text, feeling"],
    );
    assert_fails(
        &run(&["eval", &file, "--text", "feeling", "--label", "text"]),
        &["row 1", "'I am so happy for you!'", "joy"],
    );
    assert_fails(&run(&["eval", "nowhere.csv", "--text", "text", "--label", "feeling"]), &["no file 'nowhere.csv'"]);
    let page = folder.path().join("nowhere/page.html");
    let page = [&arguments[..], &["--html", page.to_str().unwrap()]].concat();
    assert_fails(&run(&page), &["cannot write", "nowhere/page.html"]);
}

#[test]
fn report_leaves_out_what_is_no_time() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (table, page) = (path("a.csv"), path("page.html"));
    let times = "joy,2024-03-31T00:30:00+02:00\njoy,n/a\nfear,9999-12-31\nfear,0001-01-01\njoy,\nfear,2024-03-30\n";
    fs::write(&table, format!("label,at\n{times}")).unwrap();
    output_of(&run(&["report", &table, "--label", "label", "--time", "at", "-o", &page]));
    let html = fs::read_to_string(&page).unwrap();
    for part in ["3 texts are not on the chart", "2024-03-30 22:00: 1", "2024-03-30 00:00: 1", "shown in UTC"] {
        assert!(html.contains(part), "no '{part}' in {html}");
    }
    fs::write(&table, "label,at\njoy,03/31/2024\njoy,\n").unwrap();
    let refused = run(&["report", &table, "--label", "label", "--time", "at", "-o", &page]);
    assert_fails(&refused, &["no value of the column 'at' is a time such as"]);
    let day = path("day.parquet");
    let query = format!("COPY (SELECT 'joy' AS label, TIME '12:00:00' AS at) TO '{day}'");
    output_of(&run(&["sql", "-q", "-c", &query]));
    let refused = run(&["report", &day, "--label", "label", "--time", "at", "-o", &page]);
    assert_fails(&refused, &["times of day without their dates", "--time"]);
}

#[test]
fn report_draws_a_page() {
    let folder = TempDir::new().unwrap();
    let page = folder.path().join("page.html");
    let output = page.to_str().unwrap();
    let sample = "data/reviews.parquet";
    let drawn = run(&[
        "report",
        sample,
        "--text",
        "text",
        "--time",
        "timestamp",
        "--by",
        "source",
        "-o",
        output,
        "--title",
        "A <b>",
    ]);
    assert_eq!(output_of(&drawn), "", "the standard output stays clean");
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("<h1>A &lt;b&gt;</h1>"), "{html}");
    for part in ["270 labeled texts, 12 rows without a label", "Most doubtful", "product review", "<svg"] {
        assert!(html.contains(part), "no '{part}'");
    }
    assert!(!html.contains("http"), "nothing from elsewhere");

    // Labels that are there already need no model.
    let labeled = folder.path().join("labeled.csv");
    fs::write(&labeled, "feeling,sure\njoy,0.9\njoy,0.5\nanger,1\n,\n").unwrap();
    let labeled = labeled.to_str().unwrap();
    output_of(&run(&["report", labeled, "--label", "feeling", "--score", "sure", "-o", output]));
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("3 labeled texts, 1 rows without a label") && html.contains("66.7 %"), "{html}");

    assert_fails(
        &run(&["report", sample, "--text", "text", "--time", "id", "-o", output]),
        &["'id' holds Int64", "--time"],
    );
    assert_fails(
        &run(&["report", sample, "--label", "feeling", "-o", output]),
        &["no column 'feeling'", "source, text"],
    );
    assert_fails(&run(&["report", "nowhere.csv", "--label", "feeling"]), &["no file 'nowhere.csv'"]);
    assert_eq!(fs::read_to_string(&page).unwrap(), html, "a report that fails leaves the page as it was");
}
