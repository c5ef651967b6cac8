#!/usr/bin/env bash
# Compiles the libraries and the program for Windows and for macOS, with warnings as errors. Nothing
# is linked or run.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh

export RUSTFLAGS="${RUSTFLAGS:-} -D warnings"
packages=(-p emotion-kernels -p emotion-classifier -p datafusion-emotion -p emotion-label -p emotion-cli)

debian x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64
rust_target x86_64-pc-windows-gnu
cargo check --locked --target x86_64-pc-windows-gnu "${packages[@]}"

rust_target aarch64-apple-darwin
tools=${CARGO_TARGET_DIR:-$PWD/target}/zigbuild
[ -x "$tools/bin/cargo-zigbuild" ] || { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet cargo-zigbuild ziglang; }
PATH="$tools/bin:$PATH" cargo-zigbuild check --locked --target aarch64-apple-darwin "${packages[@]}"
