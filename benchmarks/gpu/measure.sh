#!/usr/bin/env bash
# GPU figures in one command of at most 150 seconds: live exit (float32, bfloat16, compiled), beside SpikingJelly,
# environments and PPO on the machine's processor.
#
#   benchmarks/gpu/measure.sh DATA OUT                   DATA as for train.sh; the network is the one that train.sh brought
#   NETWORK=FOLDER benchmarks/gpu/measure.sh DATA OUT    back (OUT, else benchmarks/gpu/resnet19, else an untrained one)
#   benchmarks/gpu/measure.sh --dry-run DATA OUT         a tiny network on the CPU, under a minute
set -euo pipefail
began=$(date +%s)
here=$(cd "$(dirname "$0")" && pwd)
. "$here/python.sh"
dry=()
if [ "$1" = "--dry-run" ]; then dry=(--dry-run); shift; fi
data=$(realpath "$1") out=$2
for folder in "$out" "$here/resnet19"; do
    if [ -z "${NETWORK:-}" ] && [ -s "$folder/state.json" ]; then NETWORK=$folder; fi
done
exec "$PYTHON" "$here/measure.py" "$data" "$out" --began "$began" --budget "${BUDGET:-150}" \
    ${NETWORK:+--network "$NETWORK"} "${dry[@]}"
