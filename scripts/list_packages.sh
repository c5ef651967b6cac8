#!/usr/bin/env bash
# Writes the list of packages that the program contains, with their licenses, which
# `emotion licenses` prints. With --check, fails if the list is out of date.
set -euo pipefail
cd "$(dirname "$0")/.."

list=crates/emotion-cli/PACKAGES.txt
packages() {
  cargo tree --locked -p emotion-cli -e normal --target x86_64-unknown-linux-gnu --prefix none \
    --format '{p}: {l}' | sed 's/ (\*)$//; s/ (proc-macro)//' | grep -v ' (/' | LC_ALL=C sort -u
}

if [ "${1:-}" = --check ]; then
  diff "$list" <(packages) || { echo "$list is out of date: run scripts/list_packages.sh" >&2; exit 1; }
else
  packages >"$list"
fi
