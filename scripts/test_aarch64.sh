#!/usr/bin/env bash
# Builds for aarch64 on x86-64 Linux and runs the tests of the kernels and of the classifier under
# qemu, on an emulated processor with all extensions; those of the kernels also on processors with
# fewer. Then checks which instruction sets are detected, and that fused multiply-add gives the same
# bits on all sets of both architectures. With --program it also builds the whole program (some
# minutes) and runs it once.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh

debian aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross
debian qemu-aarch64 qemu-user
target=aarch64-unknown-linux-gnu
rust_target "$target"
# The command that runs a program on an emulated processor.
emulator_of() {
  echo "qemu-aarch64 -cpu $1 -L /usr/aarch64-linux-gnu"
}
emulator=$(emulator_of max)
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$emulator
export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc
# Emulation is slow, and the number of cases adds nothing that is specific to the architecture.
export PROPTEST_CASES=${PROPTEST_CASES:-8}

# A variable of this name would hide instruction sets from the tests.
unset EMOTION_ISA
for processor in cortex-a53 neoverse-n1 max; do
  echo "== $processor"
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$(emulator_of "$processor") \
    cargo test --locked --target "$target" -p emotion-kernels --lib --tests
done
# One of the tests that are skipped infers long texts with the default model, which takes minutes
# here. The other one measures pages of the program's file, which the emulator keeps in memory.
cargo test --locked --target "$target" -p emotion-classifier --features default-model --lib --tests -- \
  --skip default_model_in_a_batch_of_64_with_long_neighbours \
  --skip the_weights_of_the_program_do_not_stay_in_memory_beside_their_copy

# The digests of an instruction set, without its name.
digests_of() {
  sed -n "s/^$1 //p" "$digests/$2"
}

same() {
  [ -n "$(digests_of "$1" "$2")" ] || { echo "no digests of $1 in $2" >&2; exit 1; }
  diff <(digests_of avx2 x86-64) <(digests_of "$1" "$2") || { echo "$1 of $2 differs from AVX2" >&2; exit 1; }
  echo "$2, $1: the bits of AVX2"
}

digests=$(mktemp -d)
trap 'rm -rf "$digests"' EXIT
example=(cargo run --quiet --locked -p emotion-kernels --example digests)
"${example[@]}" >"$digests/x86-64"
"${example[@]}" --target "$target" >"$digests/aarch64"
# Portable code has fused multiply-add on aarch64. On x86-64 it has not; there the kernels' tests
# compare AVX2 and AVX-512 with portable code that calls the exact function of the library.
for isa in portable dotprod i8mm bf16; do
  same "$isa" aarch64
done
cut -d ' ' -f 1 "$digests/x86-64" | sort -u | grep '^avx' | while read -r isa; do
  same "$isa" x86-64
done

# detects PROCESSOR ISA…: checks the instruction sets that the kernels detect on a processor.
detects() {
  local processor=$1 found
  shift
  found=$($(emulator_of "$processor") "$built/examples/digests" small | cut -d ' ' -f 1 | uniq | xargs)
  [ "$found" = "$*" ] || { echo "$processor: '$found' detected instead of '$*'" >&2; exit 1; }
  echo "$processor: $found"
}

built=${CARGO_TARGET_DIR:-target}/$target/debug
detects cortex-a53 portable
detects neoverse-n1 portable dotprod
detects max portable dotprod i8mm bf16

if [ "${1:-}" = --program ]; then
  cargo build --locked --target "$target" --bin emotion
  program=$built/emotion
  query="SELECT emotion_classify(text) AS emotion, count(*) AS texts FROM 'data/reviews.parquet' GROUP BY 1 ORDER BY 2 DESC, 1"
  $emulator "$program" classify "I like you."
  diff <($emulator "$program" sql -q -c "$query") <(sed -n '/^\$ emotion sql -q -c/,/^```/p' README.md | sed '1d;$d')
  echo "The program prints the table of README.md."
fi
