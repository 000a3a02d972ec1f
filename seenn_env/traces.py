"""Traces: what a frozen backbone says about each sample after each timestep.

    traces = Traces.load("policy.safetensors")
    traces.accuracy               # [T]

Letters: N samples (with their repeats), T timesteps, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from backbones import SPLITS, InputError, unknown_name
from seenn_env.observations import Observation, make_observation
from seenn_env.storage import map_tensors, write_tensors

_SPLIT_CODES = {name: code for code, name in enumerate(SPLITS)}
_PACKAGED = Path(__file__).parent / "data"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Traces:
    """The running logits of a backbone over a set of samples.

    Args:
        logits: `[N, T, K]` float32 or float16, the mean of the outputs up to each timestep.
        labels: `[N]` whole numbers in 0…K-1.
        split: which split the samples are of ("train", "policy", "calibration" or "test"), or one for each.
        sample: `[N]` the sample's index in its dataset (default: 0…N-1). Rows of one sample are its
            repeats, and one cluster in every interval.
        repeat: `[N]` which repeat of the sample a row is (default: 0).
        info: JSON-able facts: "fingerprint" of the backbone, "dataset", "class_names", ….
        path: the file that they came from.

    Raises:
        InputError: for shapes that do not fit, NaN or infinite logits, labels out of range, unknown splits.
    """

    logits: np.ndarray
    labels: np.ndarray
    split: Any
    sample: np.ndarray = None  # type: ignore[assignment]
    repeat: np.ndarray = None  # type: ignore[assignment]
    info: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    trusted: bool = False
    """Skip the pass over all logits: they were checked when they were recorded."""

    def __post_init__(self) -> None:
        N = len(self.labels)
        set_ = object.__setattr__
        if self.logits.ndim != 3 or len(self.logits) != N or min(self.logits.shape[1:]) < 1 or N < 1:
            raise InputError(
                f"Expected logits [N, T, K] and labels [N] with N, T, K ≥ 1, got logits "
                f"{list(self.logits.shape)} and labels {list(np.shape(self.labels))}."
            )
        if self.logits.dtype not in (np.float32, np.float16):
            raise InputError(f"Expected float32 or float16 logits, got {self.logits.dtype}: convert them.")
        set_(self, "labels", np.asarray(self.labels).astype(np.int64, copy=False))
        set_(self, "sample", _column(self.sample, np.arange(N), N, "sample", np.int64))
        set_(self, "repeat", _column(self.repeat, np.zeros(N), N, "repeat", np.int32))
        set_(self, "split_codes", _codes(self.split, N))
        names = [SPLITS[code] for code in np.unique(self.split_codes)]
        set_(self, "split", "+".join(names))
        if not self.trusted:
            if not np.isfinite(self.logits).all():
                bad = int(np.argmax(~np.isfinite(self.logits).all(axis=(1, 2))))
                raise InputError(f"Expected finite logits, got NaN or infinity in row {bad}: look at the backbone.")
            if self.labels.min() < 0 or self.labels.max() >= self.num_classes:
                raise InputError(
                    f"Expected labels in 0…{self.num_classes - 1}, got {self.labels.min()}…{self.labels.max()}."
                )

    split_codes: np.ndarray = field(init=False)
    """`[N]` uint8: each row's place in `backbones.SPLITS`."""

    @classmethod
    def load(cls, path: "str | Path | Traces", *, split: str | None = None, verify: bool | None = None) -> "Traces":
        """Map a traces file; the name of a packaged one ("digits") stands for it.

        Args:
            path: file or packaged name (traces that are loaded already are taken as they are).
            split: keep the rows of this split only.
            verify: see `storage.map_tensors`.

        Raises:
            InputError: for a file that is missing, truncated or altered, or has no row of that split.
        """
        if isinstance(path, Traces):
            return path if split is None else path.select(split)
        file = Path(path)
        if not file.suffix and not file.exists():
            packaged = {p.stem: p for p in _PACKAGED.glob("*.safetensors")}
            if str(path) not in packaged:
                raise unknown_name("traces (or a file)", str(path), packaged)
            file = packaged[str(path)]
        tensors, info = map_tensors(file, verify=verify)
        codes = tensors.pop("split")
        traces = cls(**tensors, split=codes, info=info, path=file, trusted=True)
        return traces if split is None else traces.select(split)

    def save(self, path: str | Path) -> Path:
        """Write to one file, atomically; equal traces give equal bytes."""
        tensors = {
            "logits": self.logits,
            "labels": self.labels,
            "split": self.split_codes,
            "sample": self.sample,
            "repeat": self.repeat,
        }
        write_tensors(Path(path), tensors, self.info)
        return Path(path)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = f"N={len(self)}, T={self.timesteps}, K={self.num_classes}"
        return f"Traces({shape}, split={self.split!r}, dataset={self.info.get('dataset')!r})"

    def __getitem__(self, rows: slice | np.ndarray | Sequence[int]) -> "Traces":
        """Those rows (a slice, indices or a mask) as new traces."""
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
        return Traces(
            logits=self.logits[rows],
            labels=self.labels[rows],
            split=self.split_codes[rows],
            sample=self.sample[rows],
            repeat=self.repeat[rows],
            info=self.info,
            path=self.path,
            trusted=True,
        )

    def select(self, split: str) -> "Traces":
        """The rows of one split, as new traces.

        Raises:
            InputError: for an unknown split, or one of which there are no rows.
        """
        if split not in _SPLIT_CODES:
            raise unknown_name("split", split, SPLITS)
        if self.split == split:
            return self
        rows = self.split_codes == _SPLIT_CODES[split]
        if not rows.any():
            raise InputError(f"Expected rows of split {split!r}, got traces of {self.split!r}: choose that one.")
        return self[rows]

    @staticmethod
    def merge(*parts: "Traces") -> "Traces":
        """All rows of several traces of one backbone, as new traces.

        Raises:
            InputError: where shapes or fingerprints differ.
        """
        first = parts[0]
        for other in parts[1:]:
            if other.logits.shape[1:] != first.logits.shape[1:]:
                raise InputError(
                    f"Expected traces of equal T and K, got {first.logits.shape[1:]} and {other.logits.shape[1:]}."
                )
            other.check_backbone(first.info.get("fingerprint"))
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("logits", "labels", "sample", "repeat")
        }
        codes = np.concatenate([part.split_codes for part in parts])
        return Traces(**joined, split=codes, info=first.info, trusted=True)

    def check_backbone(self, fingerprint: str | None) -> None:
        """Refuse traces that were recorded from another backbone.

        Raises:
            InputError: when both fingerprints are known and differ.
        """
        mine = self.info.get("fingerprint")
        if mine and fingerprint and mine != fingerprint:
            raise InputError(
                f"Expected traces of the backbone {fingerprint}, got traces of {mine}: record this backbone."
            )

    def refuse_test(self, purpose: str) -> None:
        """Refuse to choose anything on the test split.

        Raises:
            InputError: when any row is of split "test".
        """
        if "test" in self.split.split("+"):
            raise InputError(
                f"Expected traces of another split for {purpose}, got split {self.split!r}: "
                "nothing is chosen on test; use 'policy' or 'calibration'."
            )

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
        return self.logits.argmax(-1)

    @cached_property
    def correct(self) -> np.ndarray:
        """`[N, T]` bool: is the prediction right?"""
        return self.predictions == self.labels[:, None]

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        return {}

    def columns(self, observation: "str | Observation") -> np.ndarray:
        """`[N, T, F]` float32: an observation of every row after every timestep, computed once."""
        if isinstance(observation, str):
            observation = self.observation(observation)
        if observation.name not in self._columns:
            self._columns[observation.name] = observation.of_trace(self.logits)
        return self._columns[observation.name]

    def observation(self, name: str) -> Observation:
        """The observation of that name for these traces' T and K."""
        return make_observation(name, timesteps=self.timesteps, num_classes=self.num_classes)

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
        T, N = self.timesteps, len(self)
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
        """A few lines: sizes, accuracy at each timestep, AET, empirical AET, OCT."""
        accuracy = "  ".join(f"t={t} {100 * a:.2f}" for t, a in enumerate(self.accuracy, 1))
        samples = len(np.unique(self.sample))
        return (
            f"{self.split}: {samples} samples, {len(self)} rows, T = {self.timesteps}, K = {self.num_classes}\n"
            f"accuracy %: {accuracy}\n"
            f"AET {self.aet:.3f}  empirical AET {self.empirical_aet:.3f}  OCT {self.oct:.3f}"
        )


def _column(given: Any, default: np.ndarray, N: int, name: str, dtype: type) -> np.ndarray:
    column: np.ndarray = np.asarray(default if given is None else given).astype(dtype, copy=False)
    if column.shape != (N,):
        raise InputError(f"Expected {name} [N] = [{N}], got {list(column.shape)}.")
    return column


def _codes(split: Any, N: int) -> np.ndarray:
    if isinstance(split, str):
        if split not in _SPLIT_CODES:
            raise unknown_name("split", split, SPLITS)
        return np.full(N, _SPLIT_CODES[split], np.uint8)
    codes = np.asarray(split)
    if codes.dtype.kind in "OUT":
        for name in np.unique(codes).tolist():
            if name not in _SPLIT_CODES:
                raise unknown_name("split", name, SPLITS)
        codes = np.array([_SPLIT_CODES[name] for name in codes])
    if codes.shape != (N,) or codes.max() >= len(SPLITS):
        raise InputError(f"Expected one split, or one for each of the {N} rows, got {list(codes.shape)}.")
    return codes.astype(np.uint8, copy=False)
