//! What people expect of a program: help, versions, completions, messages on request, limits, and a clean terminal.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{assert_fails, emotion, output_of, root, run, text};
use tempfile::TempDir;

const COMMANDS: [&str; 8] = ["sql", "classify", "label", "eval", "report", "models", "completions", "man"];

#[test]
fn every_help_has_examples() {
    for command in COMMANDS {
        let help = run(&[command, "--help"]);
        assert!(output_of(&help).contains(&format!("Examples:\n  emotion {command}")), "{command}");
    }
    assert!(output_of(&run(&["--help"])).contains("Examples:\n"));
}

#[test]
fn the_version_names_what_computes() {
    let short = run(&["-V"]);
    assert_eq!(output_of(&short).lines().count(), 1);
    let long = run(&["--version"]);
    let long = output_of(&long);
    for part in ["DataFusion: 55.", "instruction set: ", "built-in model: 6 labels, weights ", "features: "] {
        assert!(long.contains(part), "no '{part}' in {long}");
    }
    let portable = emotion(&["--version"]).env("EMOTION_ISA", "portable").output().unwrap();
    assert!(output_of(&portable).contains("instruction set: portable"), "{portable:?}");
}

#[test]
fn completions_and_manual() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&["completions", shell]);
        assert!(output_of(&script).contains("completions") && output_of(&script).contains("threshold"), "{shell}");
    }
    let page = run(&["man"]);
    assert!(output_of(&page).contains(".TH emotion 1"), "{page:?}");
    let folder = TempDir::new().unwrap();
    let pages = folder.path().join("man/man1");
    output_of(&run(&["man", pages.to_str().unwrap()]));
    for command in COMMANDS {
        let page = fs::read_to_string(pages.join(format!("emotion-{command}.1"))).unwrap();
        assert!(page.contains(&format!(".TH emotion-{command} 1")) && page.contains("Examples"), "{page}");
    }
    assert!(pages.join("emotion.1").exists());
}

#[test]
fn licenses_of_program_model_and_packages() {
    let licenses = run(&["licenses"]);
    for part in ["Apache License", "MiniLM", "datafusion v55", "MIT OR Apache-2.0"] {
        assert!(output_of(&licenses).contains(part), "no '{part}'");
    }
}

#[test]
fn threads_change_no_result() {
    let labels = |threads: &str| {
        let output = run(&["classify", "--format", "csv", "--threads", threads, "I like you.", "Go away!"]);
        output_of(&output).to_owned()
    };
    assert_eq!(labels("1"), labels("3"));
    for command in ["sql", "classify", "label", "eval", "report"] {
        let help = run(&[command, "--help"]);
        for option in ["--threads", "--threshold", "--precision", "--backend", "--device"] {
            assert!(output_of(&help).contains(option), "no {option} in {command}");
        }
    }
    for wrong in ["0", "1025", "many"] {
        let output = run(&["classify", "--threads", wrong, "x"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("a number from 1 to 1024"), "{}", text(&output.stderr));
    }
}

#[test]
fn messages_are_shown_on_request() {
    let arguments = ["classify", "--format", "csv", "I like you."];
    let plain = run(&arguments);
    assert_eq!(text(&plain.stderr), "");
    let verbose = run(&["-v", "classify", "--format", "csv", "I like you."]);
    let asked = emotion(&arguments).env("RUST_LOG", "emotion_classifier=info").output().unwrap();
    for output in [verbose, asked] {
        assert_eq!(output_of(&output), output_of(&plain));
        let messages = text(&output.stderr);
        assert!(messages.contains("loaded the default model (DistilBERT, 6 labels) in "), "{messages}");
    }
    let folder = TempDir::new().unwrap();
    let (input, output) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
    fs::write(&input, "text\nI like you.\nGo away!\n").unwrap();
    let output = output.to_str().unwrap();
    let label = run(&["label", input.to_str().unwrap(), "--text", "text", "-o", output, "-q", "-v"]);
    assert!(label.status.success(), "{label:?}");
    for part in ["labeling ", "a.csv", "committed 2 rows"] {
        assert!(text(&label.stderr).contains(part), "no '{part}' in {}", text(&label.stderr));
    }
}

#[test]
fn memory_disk_and_batches_are_limited() {
    let sort = "SELECT count(*) FROM (SELECT value, count(*) FROM range(3000000) GROUP BY 1)";
    assert_fails(&run(&["sql", "-m", "1m", "-c", sort]), &["Resources exhausted"]);
    let shown = run(&["sql", "-b", "100", "-d", "1g", "--format", "csv", "-c", "SHOW datafusion.execution.batch_size"]);
    assert!(output_of(&shown).contains("batch_size,100"), "{shown:?}");
    for wrong in [["-m", "much"], ["-d", "0"], ["-b", "0"]] {
        assert_eq!(run(&[&["sql", "-c", "SELECT 1"], &wrong[..]].concat()).status.code(), Some(2), "{wrong:?}");
    }
    assert_eq!(run(&["sql", "--rc", "a.sql", "-c", "SELECT 1"]).status.code(), Some(2));
}

#[test]
fn columns_that_a_format_cannot_hold_are_refused_before_any_output() {
    for format in ["csv", "tsv"] {
        let refused = run(&["sql", "--format", format, "-c", "SELECT emotion_scores('I like you.') AS scores"]);
        assert_fails(&refused, &["the column 'scores'", "--format json"]);
        assert_eq!(text(&refused.stdout), "");
    }
}

#[test]
fn a_terminal_gets_no_control_characters_of_others() {
    let query = "SELECT concat(chr(27), '[31mred') AS color";
    let table = run(&["sql", "-c", query]);
    assert!(output_of(&table).contains("␛[31mred"), "{table:?}");
    let csv = run(&["sql", "--format", "csv", "-c", query]);
    assert_eq!(output_of(&csv), "color\n\u{1b}[31mred\n", "what is piped stays as it is");

    let hostile = "\u{1b}[2J \u{9b}31m";
    let classified = run(&["classify", hostile]);
    assert!(output_of(&classified).contains("␛[2J"), "{classified:?}");
    let failed = run(&["sql", "-c", &format!("SELECT \"{hostile}\"")]);
    let missing = run(&["classify", "--model", hostile, "x"]);
    for output in [classified, failed, missing] {
        let printed = [text(&output.stdout), text(&output.stderr)].concat();
        assert!(!printed.contains(['\u{1b}', '\u{9b}']), "{printed:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    for arguments in [
        &["sql", "-c", "SELECT 1"][..],
        &["sql", "--format", "csv", "-c", "SELECT value FROM range(100000)"],
        &["sql", "--format", "json", "-c", "SELECT 1"],
        &["sql", "-c", "EXPLAIN SELECT 1"],
        &["classify", "I like you."],
        &["models", "show"],
        &["licenses"],
        &["completions", "bash"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = emotion(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_fails(&output, &["No space left on device"]);
    }
}

/// Types lines at the prompt of `emotion sql` on a pseudo-terminal; `None` where there is no program that makes one.
fn type_at_prompt(folder: &TempDir, options: &str, lines: &[u8]) -> Option<Output> {
    let program = format!("{} sql {options}", env!("CARGO_BIN_EXE_emotion"));
    let mut child = Command::new("script")
        .args(["-qec", &program, "/dev/null"])
        .env("XDG_STATE_HOME", folder.path())
        .env("HOME", folder.path())
        .env("NO_COLOR", "1")
        .env("TERM", "dumb")
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(lines).unwrap();
    Some(child.wait_with_output().unwrap())
}

/// A call of literals is computed while the query is planned, which nothing interrupts.
#[cfg(target_os = "linux")]
#[test]
fn two_interrupts_end_a_statement_that_is_planned() {
    let folder = TempDir::new().unwrap();
    let program = format!("{} sql -q --model tests/golden/one-head", env!("CARGO_BIN_EXE_emotion"));
    let mut script = Command::new("script");
    script.args(["-qec", &program, "/dev/null"]).env("XDG_STATE_HOME", folder.path()).current_dir(root());
    script.env("TERM", "dumb").env("NO_COLOR", "1");
    let Ok(mut child) = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else { return };
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    // The program handles interrupts once it has run a statement.
    input.write_all(b"SELECT 40 + 2 AS ready;\n").unwrap();
    let mut printed = Vec::new();
    while !printed.windows(4).any(|part| part == b"| 42") {
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap();
        printed.push(byte[0]);
    }
    let long = "SET emotion.long_text = 'window'; SELECT emotion_classify(repeat('so happy ', 9000000));\n";
    input.write_all(long.as_bytes()).unwrap();
    let wait = || std::thread::sleep(Duration::from_millis(500));
    wait();
    input.write_all(b"\x03").unwrap();
    wait();
    assert!(child.try_wait().unwrap().is_none(), "one interrupt ends the statement, not the program");
    for _ in 0..100 {
        // The program may have ended since the last look.
        let _ = input.write_all(b"\x03");
        wait();
        if child.try_wait().unwrap().is_some() {
            break;
        }
    }
    let _ = child.kill();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[cfg(target_os = "linux")]
#[test]
fn the_prompt_keeps_its_history_and_goes_on_after_errors() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("start.sql"), "CREATE VIEW v AS SELECT 40 AS n;").unwrap();
    let lines = b"SELECT nope;\nSELECT n + 2 AS m FROM v;\n\\nonsense\n\\q\n";
    let Some(output) = type_at_prompt(&folder, "--rc start.sql", lines) else { return };
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["nope", "| 42", "'\\nonsense' is not a command"] {
        assert!(printed.contains(part), "no '{part}' in {printed}");
    }
    let history = fs::read_to_string(folder.path().join("emotion/history")).unwrap();
    assert!(history.contains("SELECT n + 2 AS m FROM v;"), "{history}");
    assert!(!folder.path().join(".history").exists());

    fs::write(folder.path().join(".datafusionrc"), "CREATE VIEW w AS SELECT 41 AS n;").unwrap();
    let output = type_at_prompt(&folder, "", b"SELECT n + 2 AS m FROM w;\n\\q\n").unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("| 43"), "{output:?}");
}
