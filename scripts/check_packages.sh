#!/usr/bin/env bash
# Packages every crate that is published, and checks that no package exceeds the 10 MB which the
# registry accepts. With --verify each package is also built from its own files, as a user builds it.
set -euo pipefail
cd "$(dirname "$0")/.."

arguments=(--workspace --locked --quiet)
for package in emotion-examples emotion-plugin emotion-tests; do
  arguments+=(--exclude "$package")
done
if [ "${1:-}" = --verify ]; then
  EMOTION_MODEL_DIR=${EMOTION_MODEL_DIR:-$PWD/data/model}
  export EMOTION_MODEL_DIR
else
  arguments+=(--no-verify)
fi

packages=${CARGO_TARGET_DIR:-target}/package
rm -f "$packages"/*.crate
cargo package "${arguments[@]}"
for package in "$packages"/*.crate; do
  bytes=$(wc -c <"$package")
  echo "$(basename "$package"): $bytes bytes"
  [ "$bytes" -le 10000000 ] || { echo "$package exceeds 10 MB" >&2; exit 1; }
done
