#!/usr/bin/env bash
# Measures this project beside PyTorch, ONNX Runtime and OpenVINO in one run; see compare.py for its options.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
"$root/training/setup.sh"
"$root/training/.venv/bin/pip" install --quiet -r "$root/bench/requirements.txt"
cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p emotion-classifier --example throughput
exec "$root/training/.venv/bin/python" "$root/bench/compare.py" "$@"
