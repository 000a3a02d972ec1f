"""Speed and memory of an environment over traces that exceed memory.

    python benchmarks/environments/scale.py --output benchmarks/environments/scale.json

The traces are synthetic: logits whose confidence grows with time, in as many rows as give the size. Their file is
written to a folder (default: the current one), which needs twice as much room, measured and deleted.

Letters: N rows, T timesteps, K classes.
"""

import argparse
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from tqdm import tqdm

from agents.commands import machine
from backbones import InputError
from backbones.data import SPLITS
from backbones.machine import torch_threads
from seenn_env import EarlyExitVectorEnv, Traces
from seenn_env.traces import write_tensors

TIMESTEPS, CLASSES = 4, 1000
AIM_STEPS, AIM_BYTES = 1e6, 2 * 2**30
"""Least steps per second, and most anonymous memory."""
_ROWS = 1024
_ACTIONS = 64


class AnonymousMemory:
    """Peak of the process's anonymous memory while the block runs (Linux only).

    Pages of a mapped file do not count: the system reclaims them when it needs them.
    """

    def __init__(self, every: float = 0.02) -> None:
        self.every = every
        self.start = self.peak = _anonymous_bytes()
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self.start is not None:
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self.start is not None:
            self._watcher.join()

    def _watch(self) -> None:
        while not self._done.wait(self.every):
            self.peak = max(self.peak or 0, _anonymous_bytes() or 0)


def _anonymous_bytes() -> int | None:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = [line for line in lines if line.startswith("RssAnon:")]
    return 1024 * int(found[0].split()[1]) if found else None


def measure_scale(
    folder: Path, *, gigabytes: float, num_envs: int, rounds: int, seed: int
) -> tuple[dict[str, Any], str]:
    """JSON-able figures and the table; the file in `folder` is deleted.

    Raises:
        InputError: for a size or a number of rounds that is not positive, or a disk without room.
    """
    if gigabytes <= 0 or rounds < 1:
        raise InputError(f"Expected gigabytes > 0 and rounds ≥ 1, got {gigabytes} and {rounds}.")
    N = max(1, round(gigabytes * 1e9 / (TIMESTEPS * CLASSES * 2)))
    free = shutil.disk_usage(folder).free
    if 2.1e9 * gigabytes > free:
        raise InputError(
            f"Expected {2.1 * gigabytes:.3g} GB free for {folder}, got {free / 1e9:.3g}: choose another output "
            "or fewer gigabytes."
        )
    path = folder / "scale.safetensors"
    seconds: dict[str, float] = {}
    try:
        with AnonymousMemory() as memory:
            begin = time.perf_counter()
            make_traces_file(path, N, seed)
            seconds["write"] = time.perf_counter() - begin
            traces = _timed(seconds, "load", lambda: Traces.load(path, split="policy"))
            if traces.seal is not None:
                _timed(seconds, "verify", traces.seal.check)
            _timed(seconds, "predictions", lambda: traces.predictions)
            _timed(seconds, "columns", lambda: traces.columns("features"))
            envs = _timed(seconds, "make", lambda: EarlyExitVectorEnv(num_envs, traces))
            rates = [_steps_per_second(envs, seed + turn) for turn in range(rounds + 1)][1:]  # the first warms up
        size = path.stat().st_size
    finally:
        path.unlink(missing_ok=True)
    quartiles = np.quantile(rates, [0.25, 0.5, 0.75]).tolist()
    result = {
        "num_envs": num_envs,
        "traces": {"N": N, "T": TIMESTEPS, "K": CLASSES, "dtype": "float16", "bytes": size},
        "seconds": seconds,
        "steps_per_second": quartiles,
        "anonymous_bytes": {"start": memory.start, "peak": memory.peak},
    }
    return result, _table(result)


def make_traces_file(path: Path, N: int, seed: int) -> None:
    """Write synthetic traces of split "policy" in chunks of rows; a file beside it holds the logits meanwhile."""
    draft = path.with_name("scale.logits.npy")
    labels = np.random.default_rng(seed).integers(CLASSES, size=N)
    try:
        logits = np.lib.format.open_memmap(draft, "w+", np.float16, (N, TIMESTEPS, CLASSES))
        bar = tqdm(total=N, desc="write", unit="row", disable=None)
        # Drawing all numbers would cost more than writing: chunks read one pool of them from different offsets.
        rng = np.random.default_rng([seed, 1])
        pool = rng.standard_normal(2 * _ROWS * CLASSES, np.float32).astype(np.float16)
        for begin in range(0, N, _ROWS):
            rows = slice(begin, min(begin + _ROWS, N))
            count = rows.stop - rows.start
            for t in range(TIMESTEPS):
                offset = int(rng.integers(_ROWS * CLASSES))
                logits[rows, t] = pool[offset : offset + count * CLASSES].reshape(count, CLASSES)
                sureness = rng.gamma(2.0, 1.0 + t, size=count)
                logits[np.arange(rows.start, rows.stop), t, labels[rows]] += sureness.astype(np.float16)
            bar.update(count)
        bar.close()
        tensors = {
            "logits": logits,
            "labels": labels,
            "sample": np.arange(N),
            "repeat": np.zeros(N, np.int32),
            "split": np.full(N, SPLITS.index("policy"), np.uint8),
        }
        write_tensors(path, tensors, {"dataset": "synthetic"})
    finally:
        draft.unlink(missing_ok=True)


def _timed(seconds: dict[str, float], name: str, work: Any) -> Any:
    begin = time.perf_counter()
    result = work()
    seconds[name] = time.perf_counter() - begin
    return result


def _steps_per_second(envs: EarlyExitVectorEnv, seed: int, least: float = 0.5) -> float:
    actions = np.random.default_rng(seed).integers(2, size=(_ACTIONS, envs.num_envs))
    envs.reset(seed=seed)
    done, begin = 0, time.perf_counter()
    while (seconds := time.perf_counter() - begin) < least:
        for now in actions:
            envs.step(now)
        done += actions.size
    return done / seconds


def _table(result: dict[str, Any]) -> str:
    traces, (low, middle, high) = result["traces"], result["steps_per_second"]
    size = f"N = {traces['N']:,}, T = {traces['T']}, K = {traces['K']}, {traces['dtype']}"
    lines = [f"traces of {traces['bytes'] / 1e9:.2f} GB: {size}", ""]
    lines += [f"{name:<12} {value:>8.2f} s" for name, value in result["seconds"].items()]
    lines += ["", f"{result['num_envs']} rows, one thread, random actions, EarlyExit with features"]
    lines.append(f"{middle / 1e6:.3f} M steps/s [{low / 1e6:.3f}, {high / 1e6:.3f}], aim ≥ {AIM_STEPS / 1e6:.0f}")
    start, peak = result["anonymous_bytes"]["start"], result["anonymous_bytes"]["peak"]
    if peak is None:
        lines.append("anonymous memory: not measured on this system")
    else:
        gib = [f"{value / 2**30:.2f}" for value in (peak, start)]
        lines.append(f"anonymous memory: peak {gib[0]} GiB, {gib[1]} before, aim ≤ {AIM_BYTES / 2**30:.0f}")
    return "\n".join(lines)


def main() -> None:
    """Print the table, and write the figures where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path(), help="of the traces")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    settings = {"gigabytes": args.gigabytes, "num_envs": args.num_envs, "rounds": args.rounds, "seed": args.seed}
    with torch_threads(1):
        result, table = measure_scale(args.folder, **settings)
    print(table)
    if args.output is not None:
        args.output.write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
