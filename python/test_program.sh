#!/usr/bin/env bash
# Builds the wheel emotion-cli, installs it into a fresh virtual environment, and compares what the program prints there,
# without Rust in its path, with the first table of README.md. Needs Rust and Python 3.10 or later with venv; PYTHON
# names another python3. The wheel is in target/wheels afterwards.
# Usage: test_program.sh [PROFILE [OPTION…]]. The profile is dev by default, and dist for a release; options go to
# maturin.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=${1:-dev}
shift || true
python=${PYTHON:-python3}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
wheels=$CARGO_TARGET_DIR/wheels
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" -m venv "$scratch/build"
"$scratch/build/bin/pip" install --quiet 'maturin[zig]>=1.9,<2'
rm -f "$wheels"/emotion_cli-*.whl
export PATH="$scratch/build/bin:$PATH"
(cd python/emotion-cli && maturin build --profile "$profile" --locked --out "$wheels" "$@")
wheel=("$wheels"/emotion_cli-*.whl)

bytes=$(wc -c <"${wheel[0]}")
echo "$(basename "${wheel[0]}"): $bytes bytes"
if [ "$profile" = dist ] && [ "$bytes" -gt 100000000 ]; then
  echo "the wheel exceeds 100 MB, the limit of PyPI" >&2
  exit 1
fi
"$python" -m zipfile --list "${wheel[0]}" >"$scratch/files"
for file in LICENSE data/model/NOTICE data/model/MODEL_CARD.md; do
  grep -q "dist-info/licenses/$file " "$scratch/files" || { echo "the wheel lacks $file" >&2; exit 1; }
done

"$python" -m venv "$scratch/user"
begin=$SECONDS
timeout 30 "$scratch/user/bin/pip" install --quiet --no-index "${wheel[0]}"
echo "installed in $((SECONDS - begin)) seconds"

# The first block of README.md: a command after "$ ", and what it prints.
sed -n '/^```console$/,/^```$/{/^```/!p;/^```$/q}' README.md >"$scratch/readme"
sed -n 's/^\$ //p' "$scratch/readme" >"$scratch/command"
grep -v '^\$ ' "$scratch/readme" >"$scratch/expected"
env -i PATH="$scratch/user/bin" /bin/bash "$scratch/command" >"$scratch/printed"
diff "$scratch/expected" "$scratch/printed"
cat "$scratch/printed"
env -i PATH="$scratch/user/bin" emotion --version
