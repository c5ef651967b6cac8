//! The program contains the default model once.

use std::path::Path;

use memchr::memmem;

/// Bytes of the weights that the program is searched for: enough to be unique.
const LENGTH: usize = 4096;

#[test]
fn the_program_contains_the_weights_once() {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/model/model.safetensors");
    let weights = std::fs::read(weights).unwrap();
    let program = std::fs::read(env!("CARGO_BIN_EXE_emotion")).unwrap();
    let middle = weights.len() / 2;
    for at in [LENGTH, middle, weights.len() - LENGTH] {
        let found = memmem::find_iter(&program, &weights[at..at + LENGTH]).count();
        assert_eq!(found, 1, "copies of the weights from byte {at} on");
    }
}
