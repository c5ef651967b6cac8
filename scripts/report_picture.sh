#!/usr/bin/env bash
# Makes docs/report.png, the picture of a report in README.md. Needs Chromium; CHROMIUM names another one.
set -euo pipefail
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cargo run --quiet --locked --bin emotion -- report data/reviews.parquet \
  --text text --time timestamp --by source --title "Emotions in reviews" --output "$scratch/report.html"
"${CHROMIUM:-chromium}" --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$scratch/profile" \
  --window-size=1000,1110 --screenshot=docs/report.png "file://$scratch/report.html"
