#!/usr/bin/env bash
# Builds the programs of a release for this machine and packs them, with their licences and the model
# card, into dist/. Usage: build_release.sh
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
suffix=
case $target in *windows*) suffix=.exe ;; esac

cargo build --locked --profile dist --features cluster --bin emotion --bin emotion-scheduler --bin emotion-executor
built=${CARGO_TARGET_DIR:-target}/dist
bytes=$(wc -c <"$built/emotion$suffix")
if [ "$bytes" -gt 140000000 ]; then
  echo "emotion has $bytes bytes, of 140000000 at most: its symbols are not stripped, or a dependency grew" >&2
  exit 1
fi
name=emotion-$version-$target
rm -rf "dist/$name"
mkdir -p "dist/$name"
for program in emotion emotion-scheduler emotion-executor; do
  cp "$built/$program$suffix" "dist/$name/"
done
cp LICENSE README.md CHANGELOG.md data/model/NOTICE data/model/MODEL_CARD.md "dist/$name/"
"dist/$name/emotion$suffix" classify "I like you."

cd dist
tar -czf "$name.tar.gz" "$name"
if command -v sha256sum >/dev/null; then
  sha256sum "$name.tar.gz" >"$name.tar.gz.sha256"
else
  shasum -a 256 "$name.tar.gz" >"$name.tar.gz.sha256"
fi
