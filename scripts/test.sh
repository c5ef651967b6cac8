#!/usr/bin/env bash
# Runs all tests on this machine, then the program.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo test --locked --workspace --features cluster
cargo run --locked --bin emotion -- classify "I like you."
