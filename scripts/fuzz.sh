#!/usr/bin/env bash
# Runs fuzz targets for some seconds each: 60 seconds and every target unless given.
# Usage: fuzz.sh [SECONDS] [TARGET…]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh

# The first corpus of a target: files of the small models.
seed() {
  local corpus=fuzz/corpus/$1 file
  mkdir -p "$corpus"
  case $1 in
    config) cp_all config.json "$corpus" ;;
    safetensors) cp_all model.safetensors "$corpus" ;;
    tokenizer_config) cp_all tokenizer_config.json "$corpus" ;;
    tokenizer_json) cp_all tokenizer.json "$corpus" ;;
    vocab) cp_all vocab.txt "$corpus" ;;
    pickle) cp tests/golden/pickles/*.bin "$corpus" ;;
    merges) cp tests/golden/tokenizers/roberta/{vocab.json,merges.txt} "$corpus" ;;
    sentence_pieces) cp tests/golden/tokenizers/xlm-roberta/sentencepiece.bpe.model "$corpus" ;;
    index) printf '{"weight_map": {"classifier.weight": "one.safetensors", "x": "two.safetensors"}}' >"$corpus/index" ;;
    csv) printf 'id,text\r\n1,"a\n""b"""\r\n2,c\r\n' >"$corpus/csv" ;;
    json_lines) printf '{"text": "a\\ud83d", "x": {"y": [1, null]}}\n{"text": null}\n' >"$corpus/json" ;;
    word_pieces) split -l 2 README.md "$corpus/README." ;;
  esac
}

cp_all() {
  local file
  for file in tests/golden/*/"$1"; do
    cp "$file" "$2/$(basename "$(dirname "$file")")"
  done
}

seconds=${1:-60}
shift || true
rustup toolchain list | grep -q '^nightly' || rustup toolchain install --profile minimal nightly
cargo_tool cargo-fuzz 0.13.2
if [ $# -gt 0 ]; then targets=("$@"); else mapfile -t targets < <(cargo +nightly fuzz list); fi
for target in "${targets[@]}"; do
  features=() limits=()
  case $target in
    # The library takes a second for a long text in an instrumented build.
    word_pieces) limits=(-max_len=256) ;;
    codec | journal | pickle) features=(--features "$target") ;;
  esac
  seed "$target"
  cargo +nightly fuzz run "${features[@]}" "$target" -- \
    -max_total_time="$seconds" -print_final_stats=1 "${limits[@]}"
done
