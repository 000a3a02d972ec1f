"""How right a backbone is, and how soon: what its traces say before any policy.

Letters: N rows, T timesteps, K classes; C_t the rows that are right at timestep t.
"""

from functools import cached_property

import numpy as np

from seenn_env.arrays import read_only, row_chunks


class TraceStatistics:
    """The statistics of traces, whatever else they hold.

    Attributes:
        logits: `[N, T, K]`.
        labels: `[N]`.
        sample: `[N]` dataset indices.
        split: name of the split.
        energy_pj: `[N, T]`, or None.
    """

    logits: np.ndarray
    labels: np.ndarray
    sample: np.ndarray
    split: str
    energy_pj: np.ndarray | None

    @property
    def timesteps(self) -> int:
        """T."""
        return int(self.logits.shape[1])

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.logits.shape[2])

    @cached_property
    def predictions(self) -> np.ndarray:
        """`[N, T]` int64: the class with the largest logit after each timestep."""
        self._check_seal()
        predictions = np.empty(self.logits.shape[:2], np.int64)
        for rows in row_chunks(self.logits):
            # A copy of a few rows: argmax is faster on float32 than on float16.
            predictions[rows] = self.logits[rows].astype(np.float32).argmax(-1)
        return read_only(predictions)

    def _check_seal(self) -> None:
        """Refuse logits that were altered, where that has not been looked at yet."""

    @cached_property
    def correct(self) -> np.ndarray:
        """`[N, T]` bool: is the prediction right?"""
        return read_only(self.predictions == self.labels[:, None])

    @property
    def accuracy(self) -> np.ndarray:
        """`[T]` fraction right after each timestep."""
        return self.correct.mean(0)

    @property
    def first_correct(self) -> np.ndarray:
        """`[N]` the first timestep (from 1) whose prediction is right, T where none is."""
        return np.where(self.correct.any(1), self.correct.argmax(1) + 1, self.timesteps)

    @property
    def aet(self) -> float:
        """SEENN's average earliest time: [Σ_t t·(C_t - C_{t-1}) + T·(N - C_T)] / N (Li et al. 2023, section 3.2)."""
        C = np.concatenate([[0], self.correct.sum(0)])
        T, N = self.timesteps, len(self.labels)
        return float((np.arange(1, T + 1) @ np.diff(C) + T * (N - C[-1])) / N)

    @property
    def empirical_aet(self) -> float:
        """The mean first correct timestep, T where none is correct."""
        return float(self.first_correct.mean())

    @property
    def oct(self) -> float:
        """The mean earliest timestep from which the prediction stays right, T where it is wrong at T."""
        stays = np.logical_and.accumulate(self.correct[:, ::-1], axis=1).sum(1)
        return float(np.minimum(self.timesteps - stays + 1, self.timesteps).mean())

    def summary(self) -> str:
        """A few lines: sizes, accuracy at each timestep, AET, empirical AET, OCT; energy where there is any."""
        accuracy = "  ".join(f"t={t} {100 * a:.2f}" for t, a in enumerate(self.accuracy, 1))
        samples = len(np.unique(self.sample))
        energy = ""
        if self.energy_pj is not None:
            means = self.energy_pj.mean(0, dtype=np.float64) / 1000
            energy = "\nenergy nJ an image, up to and with: " + "  ".join(
                f"t={t} {e:.4g}" for t, e in enumerate(means, 1)
            )
        return (
            f"{self.split}: {samples} samples, {len(self.labels)} rows, T = {self.timesteps}, K = {self.num_classes}\n"
            f"accuracy %: {accuracy}\n"
            f"AET {self.aet:.3f}  empirical AET {self.empirical_aet:.3f}  OCT {self.oct:.3f}"
            f"{energy}"
        )
