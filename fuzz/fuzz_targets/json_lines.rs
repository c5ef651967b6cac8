//! Copies a file of JSON lines of arbitrary bytes with added members.
#![no_main]

use emotion_fuzz::copy::check;
use emotion_label::format::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| check(Format::Json, content));
