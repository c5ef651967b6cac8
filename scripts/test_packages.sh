#!/usr/bin/env bash
# Uses the packages as a user of the registry would: unpacks them, and builds and runs a program
# outside the workspace that classifies with a model folder and with the embedded model.
set -euo pipefail
cd "$(dirname "$0")/.."

repository=$PWD
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
scripts/check_packages.sh
user=$(mktemp -d)
trap 'rm -rf "$user"' EXIT
for package in "$target"/package/*.crate; do
  tar -xzf "$package" -C "$user"
done

mkdir -p "$user/program/src"
cp Cargo.lock "$user/program/"
cat >"$user/program/Cargo.toml" <<EOF
[package]
name = "program"
version = "0.0.0"
edition = "2024"

[features]
default-model = ["datafusion-emotion/default-model"]

[dependencies]
datafusion = { version = "55.2", default-features = false, features = ["sql"] }
datafusion-emotion = "55"
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }

[patch.crates-io]
$(cd "$user" && for crate in emotion-kernels emotion-classifier datafusion-emotion; do
  echo "$crate = { path = \"$(echo "$user/$crate"-[0-9]*)\" }"
done)

[workspace]
EOF
cat >"$user/program/src/main.rs" <<'EOF'
use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use datafusion_emotion::EmotionExt;
use datafusion_emotion::emotion_classifier::Classifier;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let builder = SessionStateBuilder::new().with_default_features();
    let builder = match std::env::args().nth(1) {
        Some(folder) => builder.with_emotion_model("mine", Arc::new(Classifier::load(folder)?)),
        None => builder.with_emotion(),
    };
    let context = SessionContext::new_with_state(builder.build());
    context.sql("SELECT emotion_classify('I like you.') AS emotion").await?.show().await?;
    Ok(())
}
EOF

cd "$user/program"
export CARGO_TARGET_DIR=$target/packages
unset EMOTION_MODEL_DIR
expect_love() {
  local table
  table=$("$@")
  echo "$table"
  grep -q love <<<"$table"
}
echo "== with a model folder"
expect_love cargo run --quiet -- "$repository/data/model"
echo "== with the embedded model, but without a folder that holds it"
if cargo build --quiet --features default-model 2>"$user/message"; then
  echo "the build embeds a model that nobody named" >&2
  exit 1
fi
grep -o 'set EMOTION_MODEL_DIR .*' "$user/message"
echo "== with the embedded model"
EMOTION_MODEL_DIR=$repository/data/model expect_love cargo run --quiet --features default-model
