"""Interleaved measurement of speeds: contenders alternate, so that noise of the machine affects all of them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Speeds:
    """Rates of several contenders, measured in the same rounds."""

    rates: Mapping[str, np.ndarray]
    """`[rounds]` units per second, by name."""

    def median(self, name: str) -> float:
        """The median rate."""
        return float(np.median(self.rates[name]))

    def ratio(self, name: str, other: str) -> np.ndarray:
        """Quartiles (25, 50, 75 %) of the ratio, round by round."""
        quartiles: np.ndarray = np.quantile(self.rates[name] / self.rates[other], [0.25, 0.5, 0.75])
        return quartiles

    def to_dict(self) -> dict[str, Any]:
        """JSON-able quartiles of every rate."""
        return {name: np.quantile(rate, [0.25, 0.5, 0.75]).tolist() for name, rate in self.rates.items()}


def race(
    contenders: Mapping[str, Callable[[], int]],
    *,
    rounds: int = 15,
    seconds: float = 0.2,
    clock: Callable[[], float] = time.perf_counter,
) -> Speeds:
    """Let every contender run for about `seconds` in each of `rounds` rounds.

    Args:
        contenders: by name, a function that does some units of work and returns their number.
        rounds: turns of each contender; a first round to warm up is not counted.
        seconds: length of one turn.
        clock: `time.process_time` counts processor time, for a busy machine.
    """
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds + 1):
        for name, work in contenders.items():
            done, begin = 0, clock()
            while (elapsed := clock() - begin) < seconds:
                done += work()
            rates[name].append(done / elapsed)
    return Speeds({name: np.array(rate[1:]) for name, rate in rates.items()})
