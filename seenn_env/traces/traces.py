"""Traces: the running logits of a frozen backbone over its samples, after each timestep.

    traces = Traces.load("policy.safetensors")
    traces.accuracy               # [T]

Letters: N samples (with their repeats), T timesteps, K classes, F features, M images.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from backbones import InputError
from backbones.argument_checks import check_fields, check_kinds
from backbones.array_files import Seal
from backbones.data import SPLITS
from backbones.errors import counted, unknown_name
from backbones.packaged_files import packaged_file
from backbones.tensors import row_places, whole_column
from seenn_env.arrays import join_rows, read_only, row_chunks, take_rows
from seenn_env.observations.observation import AnyObservation, Observation, TraceShape, make_observation
from seenn_env.rewards import AnyReward, Energy, make_reward, pay
from seenn_env.traces.fields import (
    ROW_FIELDS,
    SPLIT_CODES,
    as_array,
    check_images,
    check_info,
    check_logits,
    check_row_fields,
    check_values,
    frames_refused,
    image_places,
    join_images,
    split_codes,
    used_images,
)
from seenn_env.traces.file import map_tensors, write_tensors

PACKAGED = Path(__file__).parents[1] / "data"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Traces:
    """The running logits of a backbone over a set of samples; its arrays are read-only views of those given.

    Args:
        logits: `[N, T, K]` float32 or float16, the mean of the outputs up to each timestep.
        labels: `[N]` whole numbers in 0…K-1.
        split: "train", "policy", "calibration" or "test", or one for each row.
        sample: `[N]` the sample's index in its dataset (default: 0…N-1). Rows of one sample are its
            repeats, and one cluster in every interval.
        repeat: `[N]` the repeat of the sample (default: 0).
        hidden: `[N, T, F]` float32 or float16, the last hidden layer's spikes, pooled over space.
        membrane: `[N, T, F]` likewise, its membrane potentials.
        energy_pj: `[N, T]` float32, picojoules up to and including each timestep.
        operations: `[N, T, 3]` int64, likewise synaptic operations: effective MACs, effective ACs, dense.
        spikes: `[N, T]` int64, likewise the spikes that all neurons fired.
        images: `[M, C, H, W]` uint8, pictures of samples.
        image_index: `[M]` the sample index of each image.
        info: JSON-able facts: "fingerprint" of the backbone, "dataset", "class_names", ….
        path: of their file.
        trusted: skip the checks of values: they were done at the recording.
        seal: unchecked digests of their file, checked before anything is computed.

    Raises:
        InputError: for shapes that do not fit, NaN or infinite logits, labels out of range, unknown splits.
    """

    logits: np.ndarray
    labels: np.ndarray
    split: Any
    sample: np.ndarray = None  # type: ignore[assignment]
    repeat: np.ndarray = None  # type: ignore[assignment]
    hidden: np.ndarray | None = None
    membrane: np.ndarray | None = None
    energy_pj: np.ndarray | None = None
    operations: np.ndarray | None = None
    spikes: np.ndarray | None = None
    images: np.ndarray | None = None
    image_index: np.ndarray | None = None
    info: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    trusted: bool = False
    seal: Seal | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name in (*ROW_FIELDS, "images", "image_index"):
            set_(self, name, as_array(vars(self)[name]))
        check_fields(self)
        N = self.labels.size
        set_(self, "labels", whole_column(self.labels, N, "labels"))
        check_logits(self.logits, N)
        for name, default, dtype in (("sample", np.arange(N), np.int64), ("repeat", np.zeros(N), np.int32)):
            column = vars(self)[name]
            set_(self, name, whole_column(default if column is None else column, N, name, dtype))
        set_(self, "split_codes", split_codes(self.split, N))
        names = [SPLITS[code] for code in np.unique(self.split_codes)]
        set_(self, "split", "+".join(names))
        if self.image_index is not None:
            index = np.asarray(self.image_index)
            set_(self, "image_index", whole_column(index, index.size, "image_index"))
        for name, values in vars(self).items():
            if isinstance(values, np.ndarray):
                set_(self, name, read_only(values))
        set_(self, "info", deepcopy(self.info))
        check_info(self.info, self.num_classes)
        check_images(self.images, self.image_index)
        check_row_fields(vars(self), N, self.timesteps)
        if not self.trusted:
            self._check_values()

    def _check_values(self) -> None:
        check_values(vars(self))
        if self.labels.min() < 0 or self.labels.max() >= self.num_classes:
            raise InputError(
                f"Expected labels in 0…{self.num_classes - 1}, got {self.labels.min()}…{self.labels.max()}."
            )

    split_codes: np.ndarray = field(init=False)
    """`[N]` uint8: index in `backbones.SPLITS`."""

    @classmethod
    @check_kinds
    def load(cls, path: "str | Path | Traces", *, split: str | None = None, verify: bool | None = None) -> "Traces":
        """Map a traces file, or a packaged one by name ("digits").

        Args:
            path: file or packaged name (loaded traces are returned as they are).
            split: of the rows to select.
            verify: see `file.map_tensors`.

        Raises:
            InputError: for a file that is missing, truncated, altered or without rows of that split.
        """
        if isinstance(path, Traces):
            return path if split is None else path.select(split)
        file = packaged_file(path, PACKAGED, "recording")
        fields = map_tensors(file, verify=verify)
        known = {*ROW_FIELDS, "split", "images", "image_index", "info", "path", "seal"}
        if fields.keys() - known or {"logits", "labels", "split"} - fields.keys():
            raise InputError(f"Expected the fields of traces in {file}, got {', '.join(sorted(fields)[:20])}.")
        seal = fields["seal"]
        try:
            traces = Traces(**fields, trusted=bool(seal.unchecked))
            if seal.unchecked:
                seal.after = traces._check_values
        except InputError as error:
            raise InputError(f"Expected possible traces in {file}: {error}") from error
        return traces if split is None else traces.select(split)

    @check_kinds
    def save(self, path: str | Path) -> Path:
        """Write to one file, atomically (an existing one is replaced); equal traces give equal bytes."""
        self._check_seal()
        tensors = {name: getattr(self, name) for name in ROW_FIELDS if getattr(self, name) is not None}
        tensors |= {"split": self.split_codes}
        tensors |= used_images(self.images, self.image_index, self.sample)
        write_tensors(Path(path), tensors, self.info)
        return Path(path)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = f"N={len(self)}, T={self.timesteps}, K={self.num_classes}"
        return f"Traces({shape}, split={self.split!r}, dataset={self.info.get('dataset')!r})"

    @check_kinds
    def __getitem__(self, rows: slice | np.ndarray | Sequence[int]) -> "Traces":
        """Those rows (a slice, indices or a mask) as new traces."""
        if not isinstance(rows, slice):
            rows = row_places(rows, len(self))
            self._check_seal()  # a copy has no digests
        fields: dict[str, Any] = {
            name: None if (field := getattr(self, name)) is None else take_rows(field, rows) for name in ROW_FIELDS
        }
        return replace(self, **fields, split=self.split_codes[rows], trusted=True)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Traces":
        """The same traces: they are immutable, and `gym.make` copies its arguments."""
        return self

    @check_kinds
    def select(self, split: str) -> "Traces":
        """The rows of one split, as new traces; an `InputError` for an unknown split, or one without rows."""
        rows = self._of_split(split)
        if rows.all():
            return self
        if not rows.any():
            raise InputError(f"Expected rows of split {split!r}, got traces of {self.split!r}: add those rows.")
        first, last = np.flatnonzero(rows)[[0, -1]]
        return self[first : last + 1] if rows[first : last + 1].all() else self[rows]  # a slice copies nothing

    @check_kinds
    def without(self, split: str) -> "Traces":
        """The rows of the other splits, as new traces; an `InputError` for an unknown split, or if no rows remain."""
        rows = ~self._of_split(split)
        if not rows.any():
            raise InputError(f"Expected rows of another split than {split!r}, got none.")
        return self[rows]

    def _of_split(self, split: str) -> np.ndarray:
        if split not in SPLIT_CODES:
            raise unknown_name("split", split, SPLITS)
        return self.split_codes == SPLIT_CODES[split]

    @staticmethod
    @check_kinds
    def merge(*parts: "Traces") -> "Traces":
        """All rows of several traces of one backbone, as new traces; an `InputError` where shapes, fingerprints or the
        optional fields differ, or two of them hold one row (of the same split, sample and repeat).
        """
        if not parts:
            raise InputError("Expected traces to merge, got none.")
        for part in parts:
            part._check_seal()
        first = parts[0]
        for other in parts[1:]:
            other.check_backbone(first.info.get("fingerprint"))
            for name in ROW_FIELDS:
                fields = (getattr(first, name), getattr(other, name))
                shapes = [None if values is None else values.shape[1:] for values in fields]
                if shapes[0] != shapes[1]:
                    raise InputError(
                        f"Expected {name} in all of the traces, of one size, or in none, got {shapes[0]} and "
                        f"{shapes[1]} a row: record the same of each."
                    )
        keys = [np.unique(np.stack([part.split_codes, part.sample, part.repeat], 1), axis=0) for part in parts]
        distinct, times = np.unique(np.concatenate(keys), axis=0, return_counts=True)
        if times.max() > 1:
            code, sample, repeat = distinct[times.argmax()].tolist()
            raise InputError(
                f"Expected traces of different rows, got {counted(int((times > 1).sum()), 'row')} twice, "
                f"such as sample {sample}, repeat {repeat} of {SPLITS[code]!r}: merge each of them once."
            )
        merged: dict[str, Any] = {
            name: join_rows([getattr(part, name) for part in parts])
            for name in ROW_FIELDS
            if getattr(first, name) is not None
        }
        merged["images"], merged["image_index"] = join_images([(part.images, part.image_index) for part in parts])
        codes = np.concatenate([part.split_codes for part in parts])
        return replace(first, **merged, split=codes, path=None, seal=None, trusted=True)

    @check_kinds
    def check_backbone(self, fingerprint: str | None) -> None:
        """Refuse traces that were recorded from another backbone, where both fingerprints are known."""
        mine = self.info.get("fingerprint")
        if mine and fingerprint and mine != fingerprint:
            raise InputError(
                f"Expected traces of the backbone {fingerprint}, got traces of {mine}: record this backbone."
            )

    @check_kinds
    def refuse_test(self, purpose: str) -> None:
        """Refuse to choose anything on the test split."""
        if "test" in self.split.split("+"):
            raise InputError(
                f"Expected traces of another split for {purpose}, got split {self.split!r}: "
                "nothing is chosen on test; use 'policy' or 'calibration'."
            )

    @cached_property
    def image_places(self) -> np.ndarray:
        """`[N]` the index in `images` of each row's sample."""
        return read_only(image_places(self.image_index, self.sample))

    @property
    def still_images(self) -> np.ndarray:
        """`[M, C, H, W]` images that a policy may read before the first timestep.

        Raises:
            InputError: for a missing one, or means over frames.
        """
        self.image_places  # noqa: B018  # or an error
        if "frames" in self.info:
            raise frames_refused("image")
        return np.asarray(self.images)

    @property
    def shape(self) -> TraceShape:
        """T, K, and F of `hidden` and `membrane`."""
        sizes = {name: field.shape[2] for name in ("hidden", "membrane") if (field := getattr(self, name)) is not None}
        return TraceShape(self.timesteps, self.num_classes, **sizes)

    @cached_property
    def _columns(self) -> dict[Any, np.ndarray]:
        return {}

    @check_kinds
    def columns(self, observation: AnyObservation) -> np.ndarray:
        """`[N, T, F]` float32, read-only: an observation of every row after every timestep, computed once."""
        if observation not in self._columns:
            self._check_seal()
            spec = self.observation(observation)
            probes = {name: getattr(self, name) for name in spec.probes}
            self._columns[observation] = read_only(spec.of_trace(self.logits, **probes))
        return self._columns[observation]

    def _check_seal(self) -> None:
        if self.seal is not None:
            self.seal.check()

    @check_kinds
    def observation(self, observation: AnyObservation) -> Observation:
        """The observation of that name (or a user's own) for these traces' T, K and F."""
        return make_observation(observation, **vars(self.shape))

    @check_kinds
    def rewards(self, reward: AnyReward, options: dict[str, Any] | None = None) -> np.ndarray:
        """`[N, T]` float32: a reward, or the one of that name with options, for an exit after each timestep."""
        timestep = np.broadcast_to(np.arange(1, self.timesteps + 1), self.correct.shape)
        return pay(make_reward(reward, options), self.correct, timestep, self.timesteps, self.energy())

    def energy(self) -> Energy | None:
        """`[N, T]` the energy of every row up to each timestep; None where it was not recorded."""
        return None if self.energy_pj is None else Energy(self.energy_pj, self.energy_pj[:, -1:])

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

    @cached_property
    def correct(self) -> np.ndarray:
        """`[N, T]` bool: whether the prediction is correct."""
        return read_only(self.predictions == self.labels[:, None])

    @property
    def accuracy(self) -> np.ndarray:
        """`[T]` fraction of correct predictions after each timestep."""
        return self.correct.mean(0)

    @property
    def first_correct(self) -> np.ndarray:
        """`[N]` the first timestep (from 1) whose prediction is correct, T where none is."""
        return np.where(self.correct.any(1), self.correct.argmax(1) + 1, self.timesteps)

    @property
    def aet(self) -> float:
        """SEENN's average earliest time (Li et al. 2023, section 3.2), with C_t the rows that are correct at t.

        [Σ_t t·(C_t - C_{t-1}) + T·(N - C_T)] / N
        """
        C = np.concatenate([[0], self.correct.sum(0)])
        T, N = self.timesteps, len(self.labels)
        return float((np.arange(1, T + 1) @ np.diff(C) + T * (N - C[-1])) / N)

    @property
    def empirical_aet(self) -> float:
        """The mean first correct timestep, T where none is correct."""
        return float(self.first_correct.mean())

    @property
    def oct(self) -> float:
        """The mean earliest timestep from which the prediction stays correct, T where it is wrong at T."""
        stays = np.logical_and.accumulate(self.correct[:, ::-1], axis=1).sum(1)
        return float(np.minimum(self.timesteps - stays + 1, self.timesteps).mean())

    def summary(self) -> str:
        """A few lines: sizes, accuracy at each timestep, AET, empirical AET, OCT; energy where there is any."""
        accuracy = "  ".join(f"t={t} {100 * a:.2f}" for t, a in enumerate(self.accuracy, 1))
        sizes = f"{counted(len(np.unique(self.sample)), 'sample')}, {counted(len(self), 'row')}"
        energy = ""
        if self.energy_pj is not None:
            means = self.energy_pj.mean(0, dtype=np.float64) / 1000
            energy = "\nenergy nJ an image, up to and with: " + "  ".join(
                f"t={t} {e:.4g}" for t, e in enumerate(means, 1)
            )
        return (
            f"{self.split}: {sizes}, T = {self.timesteps}, K = {self.num_classes}\n"
            f"accuracy %: {accuracy}\n"
            f"AET {self.aet:.3f}  empirical AET {self.empirical_aet:.3f}  OCT {self.oct:.3f}"
            f"{energy}"
        )
