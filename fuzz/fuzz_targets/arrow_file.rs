//! Copies an Arrow file, which has been edited, with added columns.
#![no_main]

use std::sync::LazyLock;

use emotion_fuzz::copy::{arrow_file, check};
use emotion_fuzz::edit::edited;
use emotion_label::format::Format;
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<Vec<u8>> = LazyLock::new(arrow_file);

fuzz_target!(|edits: &[u8]| check(Format::Arrow, &edited(&FILE, edits)));
