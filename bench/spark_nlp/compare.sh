#!/usr/bin/env bash
# Measures this project beside Spark NLP in one run; see compare.py for its options. Needs Java 8, 11 or 17, and Maven.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
"$root/training/setup.sh"
"$root/training/.venv/bin/pip" install --quiet -r "$here/requirements.txt"
mvn --quiet --batch-mode --file "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$here/jars"
[[ " $* " == *" --program "* ]] || cargo build --quiet --release --manifest-path "$root/Cargo.toml" -p emotion-cli
exec "$root/training/.venv/bin/python" "$here/compare.py" "$@"
