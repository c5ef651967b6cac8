//! Runs the commands and queries in README.md, `docs/` and `python/README.md`, and compares their output with the pages.
//!
//! "Examples in pages" in CONTRIBUTING.md states the rules. The commands are written for Linux.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

type Check = Result<(), String>;
type Counts = BTreeMap<String, usize>;

/// A fenced block of a page.
struct Block {
    line: usize,
    language: String,
    lines: Vec<String>,
    /// Why the block is not run: the comment `<!-- not run: REASON -->` on the line before it.
    reason: Option<String>,
}

#[test]
fn the_examples_in_the_pages_run_and_print_what_the_pages_show() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files = named_files(root);
    let (mut checked, mut exempt, mut failures) = (Counts::new(), Counts::new(), String::new());
    for page in pages(root) {
        let folder = working_folder(files.path());
        for block in blocks(&std::fs::read_to_string(root.join(&page)).unwrap()) {
            let (how, result) = match (&block.reason, block.language.split(',').next().unwrap()) {
                (_, "" | "json" | "mermaid" | "text" | "toml") => continue,
                (Some(reason), _) => {
                    *exempt.entry(reason.clone()).or_default() += 1;
                    continue;
                }
                (None, "console") => ("run, output compared", check_session(&block.lines, folder.path())),
                (None, "sh") => ("run", run(&block.lines.join("\n"), folder.path()).map(drop)),
                (None, "sql") => ("run as queries", check_queries(&block.lines, folder.path())),
                (None, "rust") => ("left to cargo test --doc", check_doctest(&page, &block.language, root)),
                (None, "python") => ("left to python/tests/test_pages.py, which runs those of all pages", Ok(())),
                (None, other) => ("", Err(format!("no rule says how to run a block in '{other}'"))),
            };
            *checked.entry(how.to_string()).or_default() += 1;
            if let Err(failure) = result {
                writeln!(failures, "{}:{}: {failure}\n", page.display(), block.line).unwrap();
            }
        }
    }
    print("checked", &checked);
    print("exempt", &exempt);
    assert!(!checked.is_empty() && failures.is_empty(), "\n{failures}");
}

/// Prints counts with their sum; not by `eprintln!`, whose output the test harness hides.
fn print(what: &str, counts: &Counts) {
    let mut stderr = std::io::stderr().lock();
    writeln!(stderr, "blocks of pages {what}: {}", counts.values().sum::<usize>()).unwrap();
    for (key, count) in counts {
        writeln!(stderr, "{count:6} {key}").unwrap();
    }
}

/// The paths of the pages, relative to the root of the repository.
fn pages(root: &Path) -> Vec<PathBuf> {
    let mut pages = vec![PathBuf::from("README.md"), PathBuf::from("python/README.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root.join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    pages
}

/// A folder with the files that pages name.
fn named_files(root: &Path) -> TempDir {
    let folder = TempDir::new().unwrap();
    let setup = format!("ROOT='{0}' bash '{0}/tests/pages/setup.sh'", root.display());
    run(&setup, folder.path()).unwrap_or_else(|failure| panic!("{failure}"));
    folder
}

/// A copy of a folder, which the blocks of one page share.
fn working_folder(files: &Path) -> TempDir {
    let folder = TempDir::new().unwrap();
    run(&format!("cp -a '{}/.' .", files.display()), folder.path()).unwrap_or_else(|failure| panic!("{failure}"));
    folder
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut open, mut previous) = (Vec::new(), None::<Block>, "");
    for (index, line) in page.lines().enumerate() {
        let text = line.trim();
        match (open.as_mut(), text.strip_prefix("```")) {
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => block.lines.push(line.to_string()),
            (None, Some(language)) => {
                let comment = previous.strip_prefix("<!-- not run: ").and_then(|rest| rest.strip_suffix(" -->"));
                let reason = comment.map(str::to_string);
                open = Some(Block { line: index + 1, language: language.to_string(), lines: Vec::new(), reason });
            }
            (None, None) => {}
        }
        previous = text;
    }
    blocks
}

/// Runs the commands of a `console` block, and compares what each prints with the lines after it.
fn check_session(lines: &[String], folder: &Path) -> Check {
    let starts: Vec<_> = (0..lines.len()).filter(|&i| lines[i].starts_with("$ ")).collect();
    if starts.first() != Some(&0) {
        return Err("a console block must start with '$ COMMAND'".to_string());
    }
    for (position, &start) in starts.iter().enumerate() {
        let end = *starts.get(position + 1).unwrap_or(&lines.len());
        let input = lines[start + 1..end].iter().take_while(|line| line.starts_with("> ")).count();
        let (command, expected) = lines[start..end].split_at(input + 1);
        let command = command.iter().map(|line| &line[2..]).collect::<Vec<_>>().join("\n");
        let actual = run(&command, folder)?;
        let expected: Vec<_> = expected.iter().map(|line| line.trim_end()).collect();
        let expected = expected.join("\n").trim_end().to_string();
        if !matches(&expected.lines().collect::<Vec<_>>(), &actual.lines().map(str::trim_end).collect::<Vec<_>>()) {
            return Err(format!("{command}\n--- shown\n{expected}\n--- printed\n{actual}"));
        }
    }
    Ok(())
}

/// Runs the queries of an `sql` block. A query that ends in `-- VALUE` must return a row that starts with this value.
fn check_queries(lines: &[String], folder: &Path) -> Check {
    std::fs::write(folder.join("block.sql"), lines.join("\n")).unwrap();
    let output = run("emotion sql -q --maxrows 5 -f block.sql", folder)?;
    let mut rows = output.lines();
    for line in lines {
        let Some((query, value)) = line.split_once("; ").filter(|(_, comment)| comment.trim().starts_with("--")) else {
            continue;
        };
        let value = value.trim().trim_start_matches("-- ").trim_end_matches("...");
        if !rows.any(|row| row.starts_with(&format!("| {value}"))) {
            return Err(format!("{query}\n--- shown\n{value}\n--- printed by the block\n{output}"));
        }
    }
    Ok(())
}

/// A Rust block is compiled as a doctest of `tests/lib.rs`, if that includes its page.
fn check_doctest(page: &Path, language: &str, root: &Path) -> Check {
    let library = std::fs::read_to_string(root.join("tests/lib.rs")).unwrap();
    if !library.contains(&format!("include_str!(\"../{}\")", page.display())) {
        return Err("tests/lib.rs does not include this page, so no doctest compiles the block".to_string());
    }
    if language.contains("ignore") { Err("the block is ignored".to_string()) } else { Ok(()) }
}

/// Runs a script in a shell that finds the programs of this build, and returns what it prints to both streams.
fn run(script: &str, folder: &Path) -> Result<String, String> {
    let test = std::env::current_exe().unwrap();
    let programs = test.parent().and_then(Path::parent).unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("bash");
    shell.args(["-euc", &format!("exec 2>&1 </dev/null\n{script}")]).current_dir(folder);
    let output = shell.env("PATH", path).env("HF_HOME", folder).env("HF_HUB_OFFLINE", "1").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).trim_end().to_string();
    if output.status.success() { Ok(printed) } else { Err(format!("{script}\n--- {}\n{printed}", output.status)) }
}

/// Whether lines match a pattern, in which `...` is any part of a line, and as a line any number of lines.
fn matches(pattern: &[&str], lines: &[&str]) -> bool {
    match (pattern, lines) {
        ([], _) => lines.is_empty(),
        (["...", rest @ ..], _) => (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..])),
        ([first, rest @ ..], [line, others @ ..]) => line_matches(first, line) && matches(rest, others),
        (_, []) => false,
    }
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once("...") else {
        return pattern == line;
    };
    let Some(line) = line.strip_prefix(start) else {
        return false;
    };
    line.char_indices().map(|(index, _)| index).chain([line.len()]).any(|index| line_matches(rest, &line[index..]))
}

#[test]
fn dots_match_parts_of_lines_and_whole_lines() {
    assert!(matches(&["a", "...", "d"], &["a", "b", "c", "d"]));
    assert!(matches(&["in ...s (... rows/s)"], &["in 3s (74 rows/s)"]));
    assert!(matches(&["..."], &[]));
    assert!(!matches(&["a"], &["a", "b"]));
    assert!(!matches(&["a", "b"], &["a"]));
    assert!(!matches(&["in ...s"], &["in 3 min"]));
}
