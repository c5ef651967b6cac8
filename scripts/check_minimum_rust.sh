#!/usr/bin/env bash
# Compiles everything with the minimum Rust version, `rust-version` in Cargo.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/features.sh

version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
installed=$(rustup toolchain list | grep -o "^${version}[^ ]*" | head -n 1)
[ -n "$installed" ] || rustup toolchain install --profile minimal "$version"
cargo "+${installed:-$version}" check --locked --workspace --all-targets --features "$FEATURES"
