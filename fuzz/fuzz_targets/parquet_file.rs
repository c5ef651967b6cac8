//! Copies a Parquet file, which has been edited, with added columns.
#![no_main]

use std::sync::LazyLock;

use emotion_fuzz::copy::{check, parquet_file};
use emotion_fuzz::edit::edited;
use emotion_label::format::Format;
use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<Vec<u8>> = LazyLock::new(parquet_file);

fuzz_target!(|edits: &[u8]| check(Format::Parquet, &edited(&FILE, edits)));
