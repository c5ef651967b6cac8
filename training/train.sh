#!/usr/bin/env bash
# Installs what training needs, then trains; the arguments are train.py's.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
"$here/setup.sh"
exec "$here/.venv/bin/python" "$here/train.py" "$@"
