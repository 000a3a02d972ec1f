#!/usr/bin/env bash
# The CPU reference backbone on CIFAR-10 (JPEG copy), and its traces. Killed at any moment, the same command continues.
#
#   benchmarks/cifar10_reference.sh FOLDER OUTPUT
#
# FOLDER has train/CLASS/*.jpg and test/CLASS/*.jpg; its name becomes the dataset's: call it cifar10-jpeg.
# About 40 minutes of one thread. One thread gives the same weights on the same kind of machine; see
# docs/cards/cifar10-jpeg.md for what came out.
set -euo pipefail
data=$1 output=$2
export OMP_NUM_THREADS=1
if [ ! -e "$output/backbone/complete" ]; then
    python -m agents.main train-backbone --output "$output/backbone" \
        --dataset folder --data-dir "$data" --cache-dir "$output/cache" --threads 1 \
        --network resnet9 --width 48 --timesteps 4 --encoding direct \
        --stages 1 7 0.1 2 1 0.05 4 1 0.05 --batch-size 128 --loss tet --tet-lambda 0 \
        --optimizer sgd --weight-decay 5e-4 --schedule onecycle --warmup 0.2 --label-smoothing 0.1 \
        --ema 0.998 --keep best --crop 4 --flip --cutout 8 \
        --precision bfloat16 --channels-last --seed 0
fi

if [ ! -e "$output/cifar10-jpeg.safetensors" ]; then
    python -m agents.main record --backbone "$output/backbone/backbone.safetensors" \
        --output "$output/cifar10-jpeg.safetensors" \
        --dataset folder --data-dir "$data" --cache-dir "$output/cache" \
        --split policy calibration test --batch-size 256 --dtype float16
fi
