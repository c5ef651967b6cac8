#!/usr/bin/env bash
# Checks the workflows with actionlint, which takes Go.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v actionlint >/dev/null || {
  go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
  PATH="$(go env GOPATH)/bin:$PATH"
}
actionlint
