#!/usr/bin/env bash
# Interprets the kernels with Miri, which finds undefined behaviour in `unsafe` code: the portable
# code, AVX2 and AVX-512 with VNNI. Miri does not know the instructions of AVX-512 BF16 and AMX. The
# digests that it computes must be those of the processor. It takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

rustup component add --toolchain nightly miri rust-src
export MIRIFLAGS=-Zmiri-disable-isolation
unset EMOTION_ISA

digests() {
  cargo "$@" --quiet --locked -p emotion-kernels --example digests -- small
}

native=$(digests run)
for features in "" +avx2,+fma +avx2,+fma,+avx512f,+avx512vnni; do
  echo "== target features: ${features:-those of the baseline}"
  interpreted=$(RUSTFLAGS="${features:+-C target-feature=$features}" digests +nightly miri run)
  echo "$interpreted"
  # With fused multiply-add in the baseline, portable code has the bits of AVX2.
  if [ -z "$features" ]; then
    unknown=$(grep -vxF "$native" <<<"$interpreted" || true)
  else
    unknown=$(grep -v '^portable' <<<"$interpreted" | grep -vxF "$native" || true)
  fi
  [ -z "$unknown" ] || { echo "Not the digests of the processor: $unknown" >&2; exit 1; }
done
