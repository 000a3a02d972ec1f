#!/usr/bin/env bash
# The CPU reference backbone on CIFAR-10 (JPEG copy), and its traces. Killed at any moment, the same command continues.
#
#   benchmarks/training/cifar10_reference.sh FOLDER OUTPUT    # the network whose traces are packaged
#   benchmarks/training/cifar10_reference.sh FOLDER OUTPUT 1  # a much shorter training from seed 1, for the spread over seeds
#
# FOLDER has train/CLASS/*.jpg and test/CLASS/*.jpg; its name becomes the dataset's: call it cifar10-jpeg.
# Eight runs, each from the weights of the one before: three of one thread, about 200 minutes in all, then three of two
# processes, about two hours, and two more, 47 minutes on a processor that computes bfloat16. The short training is two
# runs of one thread, about 40 minutes there.
# Weights are reproduced on the same kind of machine only; docs/cards/cifar10-jpeg.md has results and machines.
# Afterwards `python benchmarks/packaged/trace_card.py OUTPUT/cifar10-jpeg.safetensors` prints the card's table and scores.
set -euo pipefail
data=$1 output=$2 seed=${3:-}
export OMP_NUM_THREADS=1

train() { # folder, launcher, then further options
    folder=$1 launcher=$2
    shift 2
    if [ ! -e "$folder/complete" ]; then
        $launcher -m agents.main train-backbone --output "$folder" \
            --dataset folder --data-dir "$data" --cache-dir "$output/cache" --threads 1 \
            --network resnet9 --width 48 --timesteps 4 --encoding direct \
            --loss tet --tet-lambda 0 --optimizer sgd --weight-decay 5e-4 \
            --schedule onecycle --label-smoothing 0.1 --ema 0.998 --keep best \
            --crop 4 --flip --channels-last "$@"
    fi
}

if [ -n "$seed" ]; then
    short="--norm tdbn-per-timestep --compile --batch-size 128 --precision bfloat16"
    train "$output/first" python $short --stages 1 10 0.1 4 1 0.05 --warmup 0.2 --seed "$seed"
    train "$output/backbone" python $short --stages 4 2 0.05 --initial "$output/first/backbone.safetensors" \
        --warmup 0.15 --seed "$seed"
else
    one="--cutout 8 --batch-size 128"
    train "$output/first" python $one --stages 1 7 0.1 2 1 0.05 4 1 0.05 --precision bfloat16 --warmup 0.2 --seed 0
    train "$output/second" python $one --stages 1 6 0.1 4 1 0.05 --initial "$output/first/backbone.safetensors" \
        --warmup 0.2 --seed 0
    train "$output/third" python $one --stages 1 14 0.1 --initial "$output/second/backbone.safetensors" \
        --warmup 0.15 --seed 3

    two="python -m torch.distributed.run --nproc-per-node 2"
    apart="--norm tdbn-per-timestep --own-statistics --batch-size 64 --compile"
    train "$output/fourth" "$two" $apart --stages 1 13 0.1 --initial "$output/third/backbone.safetensors" \
        --cutout 8 --warmup 0.12 --seed 4
    train "$output/fifth" "$two" $apart --stages 1 12 0.1 --initial "$output/fourth/backbone.safetensors" \
        --warmup 0.12 --seed 6
    train "$output/sixth" "$two" $apart --stages 4 3 0.04 --initial "$output/fifth/backbone.safetensors" \
        --warmup 0.15 --seed 7
    train "$output/seventh" "$two" $apart --stages 1 28 0.1 --initial "$output/sixth/backbone.safetensors" \
        --precision bfloat16 --warmup 0.1 --seed 9
    train "$output/backbone" "$two" $apart --stages 4 5 0.05 --initial "$output/seventh/backbone.safetensors" \
        --precision bfloat16 --warmup 0.15 --seed 10
fi

record() { # file, then further options
    if [ ! -e "$1" ]; then
        python -m agents.main record --backbone "$output/backbone/backbone.safetensors" --output "$1" \
            --dataset folder --data-dir "$data" --cache-dir "$output/cache" --batch-size 256 --dtype float16 "${@:2}"
    fi
}

record "$output/cifar10-jpeg.safetensors" --split policy calibration test
if [ -z "$seed" ]; then
    record "$output/cifar10-jpeg-views.safetensors" --split policy calibration --repeats 4 --crop 4 --flip
fi
