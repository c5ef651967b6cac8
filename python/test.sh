#!/usr/bin/env bash
# Builds the sdist, and from the unpacked sdist the wheel, as pip does on a machine without a wheel of its own. Installs
# the wheel into fresh virtual environments with what it needs from PyPI, and tests it there. Needs Rust and Python 3.10
# or later with venv; PYTHON names another python3. The wheel is in target/wheels afterwards. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")"

python=${PYTHON:-python3}
# A test compares with the program, where the workspace was built.
program=$(realpath -m "${CARGO_TARGET_DIR:-../target}")/debug/emotion
[ ! -x "$program" ] || export EMOTION_PROGRAM=${EMOTION_PROGRAM:-$program}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" -m venv "$scratch/build"
"$scratch/build/bin/pip" install --quiet 'maturin>=1.9,<2'
maturin=$scratch/build/bin/maturin
"$maturin" sdist --out "$scratch/sdist"
# Always the same folder, so that a second build compiles no third-party crate again. The times of the files are those of
# now: in a source distribution they are constant, and Cargo would not notice a change.
unpacked=$CARGO_TARGET_DIR/sdist
wheels=$CARGO_TARGET_DIR/wheels
rm -rf "$unpacked" "$wheels"/datafusion_emotion-*.whl
mkdir -p "$unpacked"
tar -xzmf "$scratch"/sdist/datafusion_emotion-*.tar.gz -C "$unpacked" --strip-components 1
(cd "$unpacked" && "$maturin" build --release --locked --interpreter "$scratch/build/bin/python" --out "$wheels")
wheel=("$wheels"/datafusion_emotion-*.whl)

# Without the packages that are optional.
"$python" -m venv "$scratch/bare"
"$scratch/bare/bin/pip" install --quiet "${wheel[0]}"
"$scratch/bare/bin/python" tests/bare.py

"$python" -m venv "$scratch/test"
"$scratch/test/bin/pip" install --quiet "${wheel[0]}[test]"
"$scratch/test/bin/ruff" check .
"$scratch/test/bin/ruff" format --check .
"$scratch/test/bin/mypy"
"$scratch/test/bin/pytest" "$@"
"$scratch/test/bin/python" examples/reviews.py
