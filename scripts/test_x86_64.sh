#!/usr/bin/env bash
# Runs the tests of the kernels on emulated x86-64 processors: the baseline of the architecture, and
# one with AVX2 but without AVX-512. It fails if a build needs more than the baseline.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/install.sh

debian qemu-x86_64 qemu-user
unset EMOTION_ISA
export PROPTEST_CASES=${PROPTEST_CASES:-8}
# Without the features of Haswell that qemu lacks, and would warn of.
haswell=Haswell-noTSX,-invpcid,-pcid,-tsc-deadline,-x2apic
for processor in qemu64 "$haswell"; do
  echo "== $processor"
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="qemu-x86_64 -cpu $processor" \
    cargo test --locked -p emotion-kernels --lib
done
