#!/usr/bin/env bash
# Builds the wheel, installs it into a fresh virtual environment with what it needs from PyPI, and
# tests it there. Needs Rust and Python 3.10 or later with venv; PYTHON names another python3.
set -euo pipefail
cd "$(dirname "$0")"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"${PYTHON:-python3}" -m venv "$scratch/build"
"$scratch/build/bin/pip" install --quiet 'maturin>=1.9,<2'
"$scratch/build/bin/maturin" build --release --locked --interpreter "$scratch/build/bin/python" --out "$scratch/wheels"

"${PYTHON:-python3}" -m venv "$scratch/test"
wheel=("$scratch"/wheels/datafusion_emotion-*.whl)
"$scratch/test/bin/pip" install --quiet "${wheel[0]}[test]"
"$scratch/test/bin/ruff" check .
"$scratch/test/bin/ruff" format --check .
"$scratch/test/bin/mypy"
"$scratch/test/bin/pytest" "$@"
"$scratch/test/bin/python" examples/reviews.py
