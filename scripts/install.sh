# shellcheck shell=bash
# Functions that install what other scripts need, if it is missing. Sourced, not run.

# debian COMMAND PACKAGE…: installs Debian's packages unless the command is there.
debian() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return
  local root=()
  [ "$(id -u)" = 0 ] || root=(sudo)
  "${root[@]}" apt-get update -qq
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# rust_target TARGET: installs the standard library of a target for the toolchain in use.
rust_target() {
  rustup target list --installed | grep -qx "$1" || rustup target add "$1"
}

# cargo_tool NAME VERSION: builds a program of the Rust registry, unless some version is there.
cargo_tool() {
  command -v "$1" >/dev/null || cargo install --quiet --locked "$1" --version "$2"
}
