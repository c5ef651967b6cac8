#!/usr/bin/env bash
# Builds the site into target/site from the pages that docs/SUMMARY.md lists, and checks its links.
# Installs mdBook into target/mdbook where it is absent.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/target/mdbook/bin:$PATH"

install() {
  command -v "$1" >/dev/null || cargo install --quiet --locked --debug --root target/mdbook "$@"
}

install mdbook --version 0.5.4 --no-default-features --features search
install mdbook-mermaid --version 0.17.1

scripts/site_pages.py target/site-pages
mdbook-mermaid install target/site-pages
mdbook build target/site-pages
scripts/check_site.py target/site
