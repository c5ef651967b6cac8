#!/usr/bin/env bash
# Installs the wheel that test.sh has built with the pinned releases of other engines, and tests it in each of them.
# Needs Java 17 for Spark, and a few gigabytes of disk; PYTHON names another python3. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")"

wheels=${CARGO_TARGET_DIR:-$PWD/target}/wheels
wheel=("$wheels"/datafusion_emotion-*.whl)
[ -f "${wheel[0]}" ] || { echo "there is no wheel in $wheels: run test.sh first" >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"${PYTHON:-python3}" -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet pytest "${wheel[0]}" -r tests/integrations/requirements.txt
# From a folder without the sources of the package, which the workers of Spark would import instead.
cd tests/integrations
"$scratch/venv/bin/pytest" . "$@"
