//! What a loaded model leaves in memory. A test of its own, because others would load the model beside it.
#![cfg(all(feature = "default-model", target_os = "linux"))]

use std::fs::read_to_string;

use emotion_classifier::Classifier;

/// The memory of this process that holds pages of files, such as its own program, in bytes.
fn memory_of_files() -> usize {
    let status = read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
    1024 * line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap()
}

#[test]
fn the_weights_of_the_program_do_not_stay_in_memory_beside_their_copy() {
    let before = memory_of_files();
    let first = Classifier::builder().load_default_model().unwrap();
    let grown = memory_of_files().saturating_sub(before);
    // The layers have 21 MB in half precision; the code and the tokenizer, which stay, have up to 13.
    assert!(grown < 20_000_000, "{grown} bytes of the program's file stay in memory");

    let text = ["I am so happy for you!"];
    let predictions = first.classify(&text).unwrap();
    let again = Classifier::builder().load_default_model().unwrap();
    assert_eq!(predictions, again.classify(&text).unwrap(), "released pages have the same bytes when read again");
}
