#!/usr/bin/env bash
# Checks that a feature that is off is really off: how many packages each crate depends on without
# its features, and that the crates compile so.
set -euo pipefail
cd "$(dirname "$0")/.."

# Prints the packages that a crate depends on with the given features.
packages() {
  local crate=$1 features=$2
  cargo tree --locked -p "$crate" --no-default-features --features "$features" -e no-dev --prefix none |
    sed 's/ (.*//' | sort -u
}

at_most() {
  local ceiling=$1 crate=$2 features=$3 count
  count=$(packages "$crate" "$features" | wc -l)
  echo "$crate with features [$features]: $count packages, at most $ceiling"
  [ "$count" -le "$ceiling" ] || { echo "$crate depends on more than $ceiling packages" >&2; exit 1; }
}

without() {
  local package=$1 crate=$2 features=$3
  if packages "$crate" "$features" | grep -q "^$package v"; then
    echo "$crate depends on $package with features [$features]" >&2
    exit 1
  fi
}

at_most 100 emotion-classifier ""
at_most 265 datafusion-emotion ""
at_most 400 emotion-cli ""
for crate in emotion-classifier datafusion-emotion; do
  without ureq "$crate" "default-model"
  without candle-core "$crate" "default-model,hub"
done
without datafusion-proto datafusion-emotion "default-model,hub"
without ureq emotion-cli "cluster"
without ballista-core emotion-cli "hub"
without datafusion emotion-label ""
without ballista-core emotion-label "job"

# Clippy shares its artifacts with the check of the workspace, as far as features are the same.
for crate in emotion-kernels emotion-classifier datafusion-emotion emotion-label emotion-ballista; do
  cargo clippy --locked --quiet -p "$crate" --no-default-features --lib -- -D warnings
done
