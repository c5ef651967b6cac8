#!/usr/bin/env bash
# Builds the site into target/site from the pages that docs/SUMMARY.md lists, and checks its links.
# Installs mdBook with Cargo where it is absent.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v mdbook >/dev/null ||
  cargo install mdbook --locked --no-default-features --features search --version 0.5.4
command -v mdbook-mermaid >/dev/null || cargo install mdbook-mermaid --locked --version 0.17.1

scripts/site_pages.py target/site-pages
mdbook-mermaid install target/site-pages
mdbook build target/site-pages
scripts/check_site.py target/site
