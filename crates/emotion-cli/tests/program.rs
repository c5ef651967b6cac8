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

#[cfg(unix)]
#[test]
fn standard_input_is_a_table() {
    let create = "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/dev/stdin'";
    let query = format!("{create}; SELECT sum(b) AS b FROM t");
    let output = run_with_input(&["sql", "--format", "csv", "-c", &query], b"a,b\n1,2\n3,4\n");
    assert_eq!(output_of(&output), "b\n6\n");
    let parquet = fs::read("../../data/reviews.parquet").unwrap();
    let query = query.replace("CSV", "PARQUET").replace("sum(b)", "count(*)");
    let output = run_with_input(&["sql", "--format", "csv", "-c", &query], &parquet);
    assert_eq!(output_of(&output), "b\n282\n");
    assert_fails(&run_with_input(&["sql"], format!("{create};").as_bytes()), &["can be read once"]);
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
    assert_fails(&run(&["sql", "-c", &query("notes.xyz")]), &["must have the extension .parquet"]);
}

#[test]
fn a_copy_that_fails_leaves_the_file_as_it_was() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let copy = |query: &str, name: &str| run(&["sql", "-q", "-c", &format!("COPY ({query}) TO '{}'", path(name))]);
    let names = || {
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    fs::write(path("kept.csv"), "precious\n").unwrap();
    let cast = "SELECT CAST(CASE WHEN value = 99999 THEN 'x' ELSE '1' END AS INT) FROM range(0, 100000)";
    for (query, name) in [("SELECT 1 AS a, [1] AS b", "kept.csv"), (cast, "kept.csv"), (cast, "new.parquet")] {
        assert!(!copy(query, name).status.success(), "{query}");
        assert_eq!(names(), ["kept.csv"]);
        assert_eq!(fs::read_to_string(path("kept.csv")).unwrap(), "precious\n");
    }
    output_of(&copy("SELECT value FROM range(0, 3)", "numbers.parquet"));
    output_of(&copy(&format!("SELECT value + 1 AS value FROM '{}'", path("numbers.parquet")), "numbers.parquet"));
    let read = format!("SELECT sum(value) AS sum FROM '{}'", path("numbers.parquet"));
    assert_eq!(output_of(&run(&["sql", "-q", "--format", "csv", "-c", &read])), "sum\n6\n");
    output_of(&copy("SELECT 1 AS a", "kept.csv"));
    assert_eq!(fs::read_to_string(path("kept.csv")).unwrap(), "a\n1\n");
    let into_folder = format!("COPY (SELECT 1 AS a) TO '{}' STORED AS CSV", path("folder/"));
    output_of(&run(&["sql", "-q", "-c", &into_folder]));
    assert_eq!(names(), ["folder", "kept.csv", "numbers.parquet"]);
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
fn classify_by_either_backend() {
    let labels = |arguments: &[&str]| {
        let output = run(&[&["classify", "I like you.", "Go away!"], arguments].concat());
        let output = output_of(&output);
        ["love", "anger"].map(|label| output.contains(label))
    };
    assert_eq!(labels(&["--backend", "packed"]), [true; 2]);
    assert_eq!(labels(&["--backend", "candle", "--device", "cpu"]), [true; 2]);

    let model = root().join("tests/golden/modernbert").display().to_string();
    output_of(&run(&["classify", "--model", &model, "I like you."]));
    let refused = run(&["classify", "--model", &model, "--backend", "packed", "I like you."]);
    assert_fails(&refused, &["does not know ModernBERT: choose the backend 'candle' or 'auto'"]);
    let refused = run(&["classify", "--precision", "int8", "--model", &model, "I like you."]);
    assert_fails(&refused, &["the candle backend does not compute ModernBERT in int8 on 'cpu': choose float32"]);
    let refused = run(&["classify", "--device", "cuda:1", "I like you."]);
    assert_fails(&refused, &["cannot compute on 'cuda:1'", "the feature 'cuda'"]);
    let unknown = run(&["classify", "--backend", "onnx", "I like you."]);
    assert!(text(&unknown.stderr).contains("'auto', 'packed' or 'candle'"), "{}", text(&unknown.stderr));
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
    let cut = run_with_input(&arguments, b"\xef\xbb\xbffine\n\xFF\xFE\n");
    assert!(text(&cut.stdout).lines().nth(1).is_some_and(|row| row.starts_with("fine,")), "the lines before, {cut:?}");
    assert!(!cut.status.success() && text(&cut.stderr).contains("line 2") && text(&cut.stderr).contains("UTF-8"));
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
fn a_threshold_is_checked_and_used() {
    for command in [&["classify", "x"][..], &["sql", "-c", "SELECT 1"], &["report", "x.csv", "--label", "y"]] {
        let wrong = run(&[command, &["--threshold", "1.5"]].concat());
        assert_eq!(wrong.status.code(), Some(2));
        assert!(text(&wrong.stderr).contains("it must be a probability from 0 to 1"), "{}", text(&wrong.stderr));
    }
    let texts = ["I am so happy for you!", "The meeting is on Tuesday."];
    let csv = run(&["classify", "--format", "csv", "--threshold", "0.6", texts[0], texts[1]]);
    let csv: Vec<_> = output_of(&csv).lines().collect();
    assert!(csv[1].starts_with(&format!("{},joy,0.9", texts[0])), "{}", csv[1]);
    assert!(csv[2].starts_with(&format!("{},,0.", texts[1])), "{}", csv[2]);
    let query = format!("SELECT emotion_classify('{}') AS a, emotion_classify('{}') AS b", texts[0], texts[1]);
    let sql = run(&["sql", "--threshold", "0.6", "--format", "csv", "-c", &query]);
    assert_eq!(output_of(&sql), "a,b\njoy,\n");
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
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("0.7500") && !page.contains("://"), "{page}");
    assert!(page.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'"), "{page}");

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
fn eval_keeps_going_after_files_that_cannot_be_read() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let good = write("good.csv", "text,feeling\nI am so happy for you!,joy\nI was terrified of the dark.,fear\n");
    // The second row has a label that the model does not know, after one that counts.
    let unknown = write("unknown.csv", "text,feeling\nI like you.,joy\nI like you.,envy\n");
    let damaged = write("damaged.parquet", "PAR1 this is no table PAR1");
    let files = [&*unknown, &damaged, &good];
    let options = ["--text", "text", "--label", "feeling", "--format", "json"];
    let arguments = [&["eval"], &files[..], &options].concat();
    assert_fails(&run(&arguments), &["unknown.csv", "envy"]);
    let kept = run(&[&arguments[..], &["--keep-going"]].concat());
    assert_eq!(kept.status.code(), Some(3), "{kept:?}");
    let said = text(&kept.stderr);
    assert!(said.contains("Skipped: in '") && said.contains("damaged.parquet"), "{said}");
    let alone = run(&[&["eval", &good], &options[..]].concat());
    let measured = |json: &[u8]| {
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        ["test_samples", "skipped_rows", "test_accuracy", "test_loss", "confusion_matrix"].map(|key| json[key].clone())
    };
    assert_eq!(measured(&kept.stdout), measured(&alone.stdout));
}

#[test]
fn eval_counts_texts_of_no_label() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("labeled.csv");
    let rows = "text,feeling\nI am so happy for you!,joy\nThe meeting is on Tuesday.,neutral\n\
                The meeting is on Tuesday.,none\nThe meeting is on Tuesday.,\nI like you.,\n\
                The meeting is on Tuesday.,sadness\n,neutral\n";
    fs::write(&file, rows).unwrap();
    let (file, page) = (file.display().to_string(), folder.path().join("page.html"));
    let arguments = ["eval", &file, "--text", "text", "--label", "feeling", "--format", "json"];
    assert_fails(&run(&arguments), &["row 2 has the label 'neutral', which the model does not know"]);

    let json = run(&[&arguments[..], &["--threshold", "0.6", "--html", page.to_str().unwrap()]].concat());
    let json: serde_json::Value = serde_json::from_str(output_of(&json)).unwrap();
    assert_eq!((&json["test_samples"], &json["skipped_rows"]), (&6.into(), &1.into()));
    assert_eq!(json["test_accuracy"], 4.0 / 6.0);
    assert_eq!(json["model"]["threshold"], 0.6);
    let none = &json["labels"][6];
    assert_eq!((&none["label"], &none["samples"]), (&"none".into(), &4.into()));
    assert_eq!((&none["precision"], &none["recall"]), (&0.75.into(), &0.75.into()));
    assert_eq!(json["confusion_matrix"][0][6], 1, "a text of sadness was given no label");
    assert_eq!(json["confusion_matrix"][6][2], 1, "a text of no label was given love");
    assert!(fs::read_to_string(page).unwrap().contains(">none<"));

    // A label of that name that the model has is that label.
    let named = folder.path().join("named.csv");
    fs::write(&named, "text,feeling\nI like you.,neutral\n").unwrap();
    let (named, model) = (named.display().to_string(), root().join("tests/golden/gelu-json").display().to_string());
    let json = run(&[
        "eval",
        &named,
        "--text",
        "text",
        "--label",
        "feeling",
        "--format",
        "json",
        "--model",
        &model,
        "--threshold",
        "0",
    ]);
    let json: serde_json::Value = serde_json::from_str(output_of(&json)).unwrap();
    assert_eq!((&json["labels"][1]["label"], &json["labels"][1]["samples"]), (&"neutral".into(), &1.into()));
    assert_eq!(json["labels"][3]["samples"], 0);
}

#[test]
fn eval_measures_several_labels() {
    let folder = TempDir::new().unwrap();
    let model = root().join("tests/golden/multi-label").display().to_string();
    let texts = ["I like you.", "Go away!", "Oh."];
    let sql = |query: &str| {
        let output = run(&["sql", "--model", &model, "--threshold", "0.48", "--format", "nd-json", "-c", query]);
        output_of(&output).to_string()
    };
    let values = texts.map(|text| format!("('{text}')")).join(", ");
    // The model's own labels are all right, and but for the first three of each text the share is known.
    let path = |name: &str| folder.path().join(name).display().to_string();
    let labeled = format!("SELECT t, emotion_labels(t) AS l FROM (VALUES {values}) AS v(t)");
    sql(&format!("COPY ({labeled}) TO '{}' STORED AS parquet", path("all.parquet")));
    let three = format!("SELECT t, array_to_string(l[1:3], ', ') AS l FROM ({labeled})");
    sql(&format!("COPY ({three}) TO '{}' STORED AS csv", path("three.csv")));
    let eval = |file: &str, more: &[&str]| {
        let line = ["eval", file, "--text", "t", "--label", "l", "--model", &model, "--threshold", "0.48"];
        output_of(&run(&[&line[..], more].concat())).to_string()
    };
    let json =
        |file: &str| serde_json::from_str::<serde_json::Value>(&eval(&path(file), &["--format", "json"])).unwrap();

    let all = json("all.parquet");
    for key in ["test_accuracy", "test_f1", "test_f1_macro", "test_f1_micro"] {
        assert_eq!(all[key], 1.0, "{key}");
    }
    assert!(all["test_loss"].as_f64().unwrap() > 0.0 && all.get("confusion_matrix").is_none());
    let three = json("three.csv");
    let sum = |key: &str, summary: &serde_json::Value| -> f64 {
        summary["labels"].as_array().unwrap().iter().map(|label| label[key].as_f64().unwrap()).sum()
    };
    let (given, gold) = (sum("samples", &all), sum("samples", &three));
    assert_eq!((gold, &three["test_accuracy"]), (9.0, &0.0.into()));
    assert_eq!(three["test_f1_micro"], 2.0 * gold / (given + gold));

    let page = path("page.html");
    let text = eval(&path("three.csv"), &["--html", &page]);
    assert!(text.contains("(micro)") && !text.contains("Each row is a label"), "{text}");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("F1, micro") && !page.contains("Confusion"), "{page}");
    fs::write(path("wrong.csv"), "t,l\nOh.,\"label 1, joy\"\n").unwrap();
    let wrong = path("wrong.csv");
    let wrong = run(&["eval", &wrong, "--text", "t", "--label", "l", "--model", &model]);
    assert_fails(&wrong, &["row 1 has the label 'joy', which the model does not know"]);
}

#[test]
fn report_shows_the_share_of_texts_of_no_label() {
    let folder = TempDir::new().unwrap();
    let page = folder.path().join("page.html");
    let output = page.to_str().unwrap();
    let texts = folder.path().join("texts.csv");
    let lines = "text\nI am so happy for you!\nThe meeting is on Tuesday.\nI like you.\nIt is a table.\n\"\"\n";
    fs::write(&texts, lines).unwrap();
    let arguments = ["report", texts.to_str().unwrap(), "--text", "text", "-o", output];
    let shares = |more: &[&str]| {
        output_of(&run(&[&arguments[..], more].concat()));
        let html = fs::read_to_string(&page).unwrap();
        let rows = html.split("<th scope=\"row\">").skip(1);
        let row = |row: &str| (row.split('<').next().unwrap().to_string(), row.contains("50.0 %"));
        (rows.map(row).collect::<Vec<_>>(), html)
    };
    let (labels, _) = shares(&[]);
    assert!(labels.iter().all(|(label, _)| label != "none"), "{labels:?}");
    let (labels, html) = shares(&["--threshold", "0.6"]);
    assert_eq!(labels[0], ("none".to_string(), true), "{html}");
    assert_eq!(labels.iter().filter(|(label, _)| label == "none").count(), 1, "no example has no label: {html}");
    assert!(html.contains("4 labeled texts, 1 row without a label"), "{html}");

    // So it does of a file that was labeled with a threshold.
    let labeled = folder.path().join("labeled.csv");
    fs::write(&labeled, "feeling,sure\njoy,0.9\n,0.5\n,\n").unwrap();
    output_of(&run(&["report", labeled.to_str().unwrap(), "--label", "feeling", "--score", "sure", "-o", output]));
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("2 labeled texts, 1 row without a label") && html.contains(">none<"), "{html}");
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
    for part in ["omits 3 texts", "2024-03-30 22:00: 1", "2024-03-30 00:00: 1", "shown in UTC"] {
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
    for part in ["270 labeled texts, 12 rows without a label", "Lowest scores", "product review", "<svg"] {
        assert!(html.contains(part), "no '{part}'");
    }
    assert!(!html.contains("://"), "nothing from elsewhere");
    assert!(html.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'"), "{html}");

    // The columns of several files are found by their names.
    let [one, other] = ["one.csv", "other.csv"].map(|name| folder.path().join(name).to_str().unwrap().to_string());
    fs::write(&one, "id,feeling,note\n1,joy,a\n").unwrap();
    fs::write(&other, "note,id,feeling\nb,2,anger\n").unwrap();
    output_of(&run(&["report", &one, &other, "--label", "feeling", "-o", output]));
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("2 labeled texts") && html.contains(">anger<") && !html.contains(">2<"), "{html}");
    fs::write(&other, "note,feeling\nb,anger\n").unwrap();
    let lacking = run(&["report", &one, &other, "--label", "feeling", "-o", output]);
    assert_fails(&lacking, &["other.csv' has no column 'id'"]);

    // Labels that are there already need no model.
    let labeled = folder.path().join("labeled.csv");
    fs::write(&labeled, "feeling,sure\njoy,0.9\njoy,0.5\nanger,1\n,\n").unwrap();
    let labeled = labeled.to_str().unwrap();
    output_of(&run(&["report", labeled, "--label", "feeling", "--score", "sure", "-o", output]));
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.contains("3 labeled texts, 1 row without a label") && html.contains("66.7 %"), "{html}");

    assert_fails(
        &run(&["report", sample, "--text", "text", "--time", "id", "-o", output]),
        &["'id' holds Int64", "--time"],
    );
    assert_fails(
        &run(&["report", sample, "--label", "feeling", "-o", output]),
        &["no column 'feeling'", "source, text"],
    );
    assert_fails(&run(&["report", "nowhere.csv", "--label", "feeling"]), &["no file 'nowhere.csv'"]);
    for option in [["--threshold", "0.5"], ["--precision", "int8"], ["--model", "elsewhere"]] {
        let drawn = run(&[&["report", labeled, "--label", "feeling", "-o", output][..], &option].concat());
        let message = String::from_utf8_lossy(&drawn.stderr);
        assert_eq!(drawn.status.code(), Some(2), "{message}");
        assert!(message.contains("'--label <COLUMN>' cannot be used with") && message.contains(option[0]), "{message}");
    }
    assert_eq!(fs::read_to_string(&page).unwrap(), html, "a report that fails leaves the page as it was");
}
