#!/usr/bin/env bash
# The GPU reference run: ResNet-19, T = 4, CIFAR-10; 45,000 images to train, 2,500 each for policy and calibration.
#
#   benchmarks/resnet19_cifar10.sh DATA OUTPUT            DATA has torchvision's cifar-10-batches-py
#   benchmarks/resnet19_cifar10.sh --dry-run OUTPUT       a tiny network on random images, on the CPU: under a minute
#
# A probe of 60 seconds sets the epochs so that all fits into 28 minutes of one H200. Runs in parts of under
# 10 minutes, each of which continues from the last epoch; killed at any moment, the same command continues.
# With PART_ONLY=1 one part is run, which exits with 75 while there is more to do.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
data=$1 output=$2
arguments=(--output "$output")
if [ "$data" = "--dry-run" ]; then
    arguments+=(--dry-run --probe 1 --part "${PART:-0}")
else
    arguments+=(--data-dir "$data" --part "${PART:-480}" --budget "${BUDGET:-1300}")
fi
while true; do
    status=0
    "${PYTHON:-python}" benchmarks/resnet19_cifar10.py "${arguments[@]}" || status=$?
    if [ "$status" -ne 75 ] || [ -n "${PART_ONLY:-}" ]; then exit "$status"; fi
done
