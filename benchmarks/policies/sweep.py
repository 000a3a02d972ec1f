"""Speed of a sweep of 1,000 thresholds over 10,000 rows: accuracy and mean timesteps at each.

    python benchmarks/policies/sweep.py --output benchmarks/policies/sweep.json

One sample-step is one row at one timestep under one threshold. The curve of all levels is made once (a sort) and
read at each threshold, as `calibrate` and the intervals do; a loop over thresholds is measured beside it, and both
must agree.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from agents import Confidence
from agents.calibration import exits_at, level_curve
from seenn_env import Traces

THRESHOLDS = 1000
ROWS = 10_000


def by_curve(scores: np.ndarray, correct: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and mean timesteps `[1000]`."""
    curve = level_curve(scores, correct)
    # The curve's entry k serves all levels above the score before it, and up to the next.
    highest = np.maximum.accumulate(scores, axis=1).reshape(-1)
    distinct = np.unique(highest)
    entries = np.searchsorted(distinct, thresholds, side="left")
    return curve.accuracy[entries], curve.mean_timesteps[entries]


def by_loop(scores: np.ndarray, correct: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same, one threshold after the other."""
    rows, found = np.arange(len(scores)), []
    for threshold in thresholds:
        exits = exits_at(scores, threshold)
        found.append((correct[rows, exits - 1].mean(), exits.mean()))
    accuracy, spent = np.array(found).T
    return accuracy, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    thresholds = np.linspace(0, 1, THRESHOLDS)
    result: dict[str, Any] = {"versions": {"python": platform.python_version(), "numpy": np.__version__}}
    for dataset in ("cifar10-jpeg", "digits"):
        traces = Traces.load(dataset)[:ROWS]
        scores, correct = Confidence().trace_scores(traces), traces.correct
        for one, other in zip(by_curve(scores, correct, thresholds), by_loop(scores, correct, thresholds), strict=True):
            assert np.allclose(one, other)
        seconds: dict[str, list[float]] = {"curve": [], "loop": []}
        for _ in range(arguments.rounds + 1):  # the first warms up
            for name, way in (("curve", by_curve), ("loop", by_loop)):
                begin = time.perf_counter()
                way(scores, correct, thresholds)
                seconds[name].append(time.perf_counter() - begin)
        rates = {
            name: np.quantile(THRESHOLDS * correct.size / np.array(each[1:]), [0.25, 0.5, 0.75]).tolist()
            for name, each in seconds.items()
        }
        result[dataset] = {"N": len(traces), "T": traces.timesteps, "sample_steps_per_second": rates}
        print(dataset, {name: f"{rate[1] / 1e6:,.0f} M sample-steps/s" for name, rate in rates.items()}, flush=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
