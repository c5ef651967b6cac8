#!/usr/bin/env bash
# Makes data/model from the texts in a data folder: training/train.sh ../shared/data
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
data="$(realpath "${1:?give the folder that holds emotion/ and goemotions/}")"
"$here/setup.sh"
exec "$here/.venv/bin/python" "$here/train.py" --data "$data" --out "$here/../data/model" "${@:2}"
