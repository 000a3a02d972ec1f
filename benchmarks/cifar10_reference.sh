#!/usr/bin/env bash
# The CPU reference backbone on CIFAR-10 (JPEG copy), and its traces. Killed at any moment, the same command continues.
#
#   benchmarks/cifar10_reference.sh FOLDER OUTPUT
#
# FOLDER has train/CLASS/*.jpg and test/CLASS/*.jpg; its name becomes the dataset's: call it cifar10-jpeg.
# Two runs, the second from the first one's weights: about two hours of one thread in all. One thread gives the
# same weights on the same kind of machine; see docs/cards/cifar10-jpeg.md for what came out, and on what.
# Afterwards `python benchmarks/trace_card.py OUTPUT/cifar10-jpeg.safetensors` prints the card's table and scores.
set -euo pipefail
data=$1 output=$2
export OMP_NUM_THREADS=1

train() { # folder, then what differs
    folder=$1
    shift
    if [ ! -e "$folder/complete" ]; then
        python -m agents.main train-backbone --output "$folder" \
            --dataset folder --data-dir "$data" --cache-dir "$output/cache" --threads 1 \
            --network resnet9 --width 48 --timesteps 4 --encoding direct \
            --batch-size 128 --loss tet --tet-lambda 0 --optimizer sgd --weight-decay 5e-4 \
            --schedule onecycle --warmup 0.2 --label-smoothing 0.1 --ema 0.998 --keep best \
            --crop 4 --flip --cutout 8 --channels-last --seed 0 "$@"
    fi
}

train "$output/first" --stages 1 7 0.1 2 1 0.05 4 1 0.05 --precision bfloat16
train "$output/backbone" --stages 1 6 0.1 4 1 0.05 --precision float32 --initial "$output/first/backbone.safetensors"

if [ ! -e "$output/cifar10-jpeg.safetensors" ]; then
    python -m agents.main record --backbone "$output/backbone/backbone.safetensors" \
        --output "$output/cifar10-jpeg.safetensors" \
        --dataset folder --data-dir "$data" --cache-dir "$output/cache" \
        --split policy calibration test --batch-size 256 --dtype float16
fi
