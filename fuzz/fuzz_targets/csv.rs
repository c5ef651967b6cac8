//! Copies a CSV file of arbitrary bytes with added columns.
#![no_main]

use emotion_fuzz::copy::check;
use emotion_label::format::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| check(Format::Csv, content));
