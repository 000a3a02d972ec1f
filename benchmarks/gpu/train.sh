#!/usr/bin/env bash
# ResNet-19 on CIFAR-10 on one GPU, in one command of at most 520 seconds, the GPU tests first.
#
#   benchmarks/gpu/train.sh DATA OUT                     DATA: an archive of JPEGs (train/CLASS/*, test/CLASS/*), or a
#   RESUME=FOLDER benchmarks/gpu/train.sh DATA OUT       folder of torchvision's CIFAR-10; FOLDER: an earlier OUT
#   benchmarks/gpu/train.sh --dry-run DATA OUT           a tiny network on the CPU, under a minute
#
# See benchmarks/gpu/README.md. Killed at any moment, the same command continues after the last whole epoch.
set -euo pipefail
began=$(date +%s)
here=$(cd "$(dirname "$0")" && pwd)
. "$here/python.sh"
dry=()
if [ "$1" = "--dry-run" ]; then dry=(--dry-run); shift; fi
data=$(realpath "$1") out=$2
mkdir -p "$out"
if [ ! -s "$out/gpu-tests.txt" ]; then
    tests=0
    (cd "$here/../.." && timeout "${TESTS:-45}" "$PYTHON" -m pytest -q -m gpu -p no:cacheprovider tests/test_gpu.py) \
        >"$out/.gpu-tests" 2>&1 || tests=$?
    echo "exit status $tests" >>"$out/.gpu-tests"
    mv "$out/.gpu-tests" "$out/gpu-tests.txt"
    tail -n 5 "$out/gpu-tests.txt"
fi
exec "$PYTHON" "$here/train.py" "$data" "$out" --began "$began" --budget "${BUDGET:-520}" \
    ${RESUME:+--resume "$RESUME"} "${dry[@]}"
