#!/usr/bin/env bash
# Checks the licences and the sources of all dependencies against deny.toml, and that the list of
# packages which `emotion licenses` prints is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh

cargo_tool cargo-deny 0.20.2
cargo deny --all-features --locked check bans licenses sources
scripts/list_packages.sh --check
