"""Bootstrap of samples as clusters: intervals of means over rows and policy seeds.

Letters: N rows, C clusters (samples), R resamples, S policy seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from backbones.argument_checks import Natural, Positive, check_kinds
from backbones.errors import InputError
from backbones.one_line import one_line
from backbones.tensors import as_array, numbers

RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % percentile bootstrap interval."""

    estimate: float
    low: float
    high: float

    __repr__ = one_line

    @classmethod
    def of(cls, estimate: float, draws: np.ndarray) -> Self:
        """The interval of bootstrap draws `[R]`."""
        low, high = np.quantile(draws, [0.025, 0.975])
        return cls(float(estimate), float(low), float(high))

    def points(self) -> str:
        """A difference in percentage points, with its interval."""
        return f"{100 * self.estimate:+.2f} [{100 * self.low:+.2f}, {100 * self.high:+.2f}]"


@dataclass(frozen=True)
class DifferenceInterval(Interval):
    """A difference with its interval and the p-value of "it is 0"."""

    p_value: float = 1.0
    """Two-sided: twice the smaller share of draws on one side of 0, of R + 1 draws."""

    __repr__ = one_line

    @classmethod
    def of(cls, estimate: float, draws: np.ndarray) -> Self:
        """The interval of bootstrap draws `[R]` of the difference."""
        beyond = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0)) + 1
        p_value = min(1.0, float(2 * beyond / (len(draws) + 1)))
        return replace(super().of(estimate, draws), p_value=p_value)


class Clusters:
    """Resampling of whole samples, with all rows (repeats) of a sample together.

    Args:
        sample: `[N]` each row's sample.
        resamples: R.
        seed: of the resampling.
    """

    @check_kinds
    def __init__(self, sample: np.ndarray, *, resamples: Positive = RESAMPLES, seed: Natural = 0) -> None:
        samples, self.of_row = np.unique(numbers(sample, "sample", "N"), return_inverse=True)
        self.count = len(samples)
        self.rng = np.random.default_rng(seed)
        share = np.full(self.count, 1 / self.count)
        self.weights = self.rng.multinomial(self.count, share, resamples).astype(np.float64)
        """`[R, C]` count of each sample in each resample."""
        self.rows = np.bincount(self.of_row).astype(np.float64)
        self._seeds: dict[int, np.ndarray] = {}

    def seeds(self, count: int) -> np.ndarray:
        """`[R, S]` places among `count` policy seeds in each resample; the same in every call with this count."""
        if count not in self._seeds:
            self._seeds[count] = self.rng.integers(count, size=(len(self.weights), count))
        return self._seeds[count]

    def resampled_means(self, sums: np.ndarray) -> np.ndarray:
        """`[R, L]` means over the rows of every resample, of whole sums over the rows of each sample `[C, L]`."""
        exact = sums.max() * self.count < 2**24  # no resample's sum is larger: float32 is exact, in half the time
        weights = self._single_weights if exact else self.weights
        return (weights @ sums.astype(weights.dtype)) / (self.weights @ self.rows)[:, None]

    @cached_property
    def _single_weights(self) -> np.ndarray:
        return self.weights.astype(np.float32)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """`[C]` sums over the rows of each sample, of `[N]` values."""
        values = numbers(values, "values", "N", N=len(self.of_row))
        return np.bincount(self.of_row, values, self.count)

    def means(self, values: np.ndarray) -> np.ndarray:
        """`[R]` means over the rows of every resample."""
        return self.weights @ self.sums(values) / (self.weights @ self.rows)

    def resample_seeds(self, draws: np.ndarray) -> np.ndarray:
        """`[R]` means over resampled policy seeds, of draws `[R, S]` with one column per seed."""
        return np.take_along_axis(draws, self.seeds(draws.shape[1]), axis=1).mean(1)


@check_kinds
def mean_interval(values: np.ndarray, clusters: Clusters) -> Interval:
    """The mean of `[N]` values over rows."""
    draws = clusters.means(values)
    return Interval.of(float(np.mean(as_array(values, "values"))), draws)


@check_kinds
def across_seeds(values: Sequence[np.ndarray], clusters: Clusters) -> Interval:
    """The mean of `[N]` values over rows and policy seeds, with one array per seed; both are resampled."""
    if not len(values):
        raise InputError("Expected values of at least one policy seed, got none.")
    draws = np.stack([clusters.means(each) for each in values], 1)
    return Interval.of(float(np.mean(as_array(values, "values"))), clusters.resample_seeds(draws))
