#!/usr/bin/env bash
# The CPU reference backbone on CIFAR-10 (JPEG copy), and its traces. Killed at any moment, the same command continues.
#
#   benchmarks/cifar10_reference.sh FOLDER OUTPUT
#
# FOLDER has train/CLASS/*.jpg and test/CLASS/*.jpg; its name becomes the dataset's: call it cifar10-jpeg.
# Four runs, each from the weights of the one before: about four hours of one thread in all, the last run in two
# processes. With ONWARD=1 two more, with norms per timestep, about 70 minutes of two processes, in OUTPUT/onward.
# The same weights come out on the same kind of machine only; see docs/cards/cifar10-jpeg.md for what came out, and on
# what.
# Afterwards `python benchmarks/trace_card.py OUTPUT/cifar10-jpeg.safetensors` prints the card's table and scores.
set -euo pipefail
data=$1 output=$2
export OMP_NUM_THREADS=1

train() { # folder, what runs it, then what differs
    folder=$1 launcher=$2
    shift 2
    if [ ! -e "$folder/complete" ]; then
        $launcher -m agents.main train-backbone --output "$folder" \
            --dataset folder --data-dir "$data" --cache-dir "$output/cache" --threads 1 \
            --network resnet9 --width 48 --timesteps 4 --encoding direct \
            --loss tet --tet-lambda 0 --optimizer sgd --weight-decay 5e-4 \
            --schedule onecycle --label-smoothing 0.1 --ema 0.998 --keep best \
            --crop 4 --flip --cutout 8 --channels-last "$@"
    fi
}

two="python -m torch.distributed.run --nproc-per-node 2"
train "$output/first" python --stages 1 7 0.1 2 1 0.05 4 1 0.05 --precision bfloat16 \
    --batch-size 128 --warmup 0.2 --seed 0
train "$output/second" python --stages 1 6 0.1 4 1 0.05 --initial "$output/first/backbone.safetensors" \
    --batch-size 128 --warmup 0.2 --seed 0
train "$output/third" python --stages 1 14 0.1 --initial "$output/second/backbone.safetensors" \
    --batch-size 128 --warmup 0.15 --seed 3
train "$output/backbone" "$two" --stages 2 2 0.05 4 1 0.05 --initial "$output/third/backbone.safetensors" \
    --batch-size 64 --warmup 0.2 --seed 0 --compile

if [ -n "${ONWARD:-}" ]; then
    apart="--norm tdbn-per-timestep --own-statistics --batch-size 64 --compile"
    train "$output/fifth" "$two" --stages 1 13 0.1 --initial "$output/third/backbone.safetensors" \
        --warmup 0.12 --seed 4 $apart
    train "$output/onward" "$two" --stages 4 3 0.04 --initial "$output/fifth/backbone.safetensors" \
        --warmup 0.15 --seed 5 $apart
fi

if [ ! -e "$output/cifar10-jpeg.safetensors" ]; then
    python -m agents.main record --backbone "$output/backbone/backbone.safetensors" \
        --output "$output/cifar10-jpeg.safetensors" \
        --dataset folder --data-dir "$data" --cache-dir "$output/cache" \
        --split policy calibration test --batch-size 256 --dtype float16
fi
