"""Samples of a dataset, and its division into disjoint, recorded splits.

`train` is for the backbone, `policy` for learners of the exit, `calibration` for thresholds and model selection,
`test` for the final table.

Letters: N samples, C channels, H × W pixels, T frames.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from backbones.argument_checks import Natural, Positive, check_fields, check_kinds
from backbones.contract.inputs import channels_advice
from backbones.deferred_rows import RowView, rows_of
from backbones.errors import InputError, check_printable, counted, shown, unknown_name
from backbones.one_line import one_line
from backbones.tensors import as_array, row_places, whole_column

SPLITS = ("train", "policy", "calibration", "test")


def _array(values: Any, name: str) -> np.ndarray:
    """An array of an array, a tensor or a list of numbers; else an `InputError`."""
    array = as_array(values, f"{name} of samples")
    if array.dtype.kind not in "biuf":
        raise InputError(f"Expected {name} of samples as an array or a tensor of numbers, got {type(values).__name__}.")
    return array


@dataclass(frozen=True)
class Samples:
    """Labelled images of one split; tensors become arrays. An `InputError` for fields that do not fit together."""

    images: np.ndarray
    """`[N, C, H, W]` uint8 or floats in [0, 1]; or frames over time, `[N, T, C, H, W]` counts of events or floats."""
    labels: np.ndarray
    """`[N]` int64 in 0…K-1."""
    index: np.ndarray
    """`[N]` int64 place of each sample in the whole dataset (None: 0…N-1)."""
    class_names: tuple[str, ...]
    """`[K]`; empty where they are not known."""
    dataset: str
    split: str
    division: dict[str, Any] = field(default_factory=dict)
    """Division of the dataset, JSON-able: "seed", and "sizes" by split."""

    def __post_init__(self) -> None:
        images = self.images
        if not isinstance(images, RowView | np.ndarray):
            images = _array(images, "images")
        if images.ndim < 2:
            raise InputError(f"Expected images [N, …] of samples, got {list(images.shape)}.")
        index = np.arange(len(images)) if self.index is None else self.index
        for name, value in (("labels", self.labels), ("index", index)):
            object.__setattr__(self, name, whole_column(_array(value, name), len(images), name))
        if isinstance(self.class_names, str) or not isinstance(self.class_names, Iterable | None):
            raise InputError(f"Expected class_names as a tuple of names, got {shown(self.class_names)}.")
        names = tuple(str(name) for name in (() if self.class_names is None else self.class_names))
        check_printable((*names, str(self.dataset)), "class_names and dataset")
        if len(self.labels) and (self.labels.min() < 0 or (names and self.labels.max() >= len(names))):
            raise InputError(
                f"Expected labels in 0…{len(names) - 1 if names else 'K-1'}, got {self.labels.min()} to "
                f"{self.labels.max()}: number the classes from 0, with a name for each."
            )
        if not isinstance(self.split, str) or self.split not in SPLITS:
            raise unknown_name("split", self.split, SPLITS)
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "class_names", names)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        images = f"{len(self)} × {list(self.images.shape[1:])} {self.images.dtype}"
        return f"Samples({self.dataset!r}, {self.split!r}, {images})"

    def select(self, rows: np.ndarray | slice) -> "Samples":
        """Some of the samples: places, a mask or a slice; else an `InputError`."""
        if not isinstance(rows, slice):
            rows = row_places(rows, len(self))
        return replace(self, images=self.images[rows], labels=self.labels[rows], index=self.index[rows])

    @check_kinds
    def evenly(self, count: Positive) -> "Samples":
        """At most that many, evenly spread (samples of a folder are sorted by class)."""
        return self.select(np.arange(min(count, len(self))) * len(self) // min(count, len(self)))


@dataclass(frozen=True)
class Splits:
    """The four disjoint splits of a dataset."""

    train: Samples
    policy: Samples
    calibration: Samples
    test: Samples

    __repr__ = one_line

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def division(self) -> dict[str, Any]:
        """Division of the dataset: "dataset", "seed" and "sizes" by split; empty where it is not known."""
        known = self.train.division
        return {"dataset": self.train.dataset, **known} if known else {}

    def __getitem__(self, name: str) -> Samples:
        if not isinstance(name, str) or name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
        return getattr(self, name)


@dataclass(frozen=True)
class Whole:
    """A dataset before it is divided."""

    images: np.ndarray
    """`[N, …]` as in `Samples`."""
    labels: np.ndarray
    """`[N]` int64."""
    class_names: tuple[str, ...]
    dataset: str
    test: np.ndarray | int
    """Places of the test images; or a number n: one image in n is drawn for test."""
    split: np.ndarray | None = None
    """`[N]` places in `SPLITS`, where the dataset has its own splits; of train and test alone, train is divided."""


@dataclass(frozen=True)
class Division:
    """Settings of a division into splits."""

    seed: Natural = 0
    """Seed of the shuffle."""
    policy_size: Positive | None = None
    """Images for `policy` (None: a tenth of all but the test images)."""
    calibration_size: Positive | None = None
    """Images for `calibration` (None: the same)."""

    def __post_init__(self) -> None:
        check_fields(self)

    def of(self, whole: Whole) -> Splits:
        """The splits of a dataset, stratified by class; large files stay mapped.

        An `InputError` for too few images for four splits, or own splits that are not those four.
        """
        rows = self._own(whole) if whole.split is not None else self._divided(whole)
        sizes = {split: len(rows[split]) for split in SPLITS}
        for split, size in sizes.items():
            if size < 1:
                raise InputError(
                    f"Expected images enough for four splits in {whole.dataset}, got {len(whole.labels)}: "
                    f"none for {split} ({', '.join(f'{name} {max(0, n)}' for name, n in sizes.items())})."
                )
        division = {"seed": self.seed, "sizes": sizes}
        facts = {split: (whole.class_names, whole.dataset, split, division) for split in SPLITS}
        return Splits(
            **{
                split: Samples(cast(np.ndarray, rows_of(whole.images, i)), whole.labels[i], i, *facts[split])
                for split, i in rows.items()
            }
        )

    def _own(self, whole: Whole) -> dict[str, np.ndarray]:
        """The dataset's own splits."""
        codes = np.asarray(whole.split)
        there = {SPLITS[code] for code in np.unique(codes)}
        if there == {"train", "test"}:
            return self._divided(replace(whole, test=np.flatnonzero(codes == SPLITS.index("test"))))
        if there != set(SPLITS):
            raise InputError(
                f"Expected all four splits in {whole.dataset}, or train and test, got {', '.join(sorted(there))}."
            )
        return {split: np.flatnonzero(codes == code) for code, split in enumerate(SPLITS)}

    def _divided(self, whole: Whole) -> dict[str, np.ndarray]:
        """The given or drawn test images, and a division of the others."""
        test, N = whole.test, len(whole.labels)
        if isinstance(test, int):
            taken = stratified_split(whole.labels, {"test": N // test, "rest": N - N // test}, self.seed)
            test, rest = taken["test"], taken["rest"]
        else:
            rest = np.setdiff1d(np.arange(N), test)
        policy = len(rest) // 10 if self.policy_size is None else self.policy_size
        calibration = len(rest) // 10 if self.calibration_size is None else self.calibration_size
        sizes = {"train": max(0, len(rest) - policy - calibration), "policy": policy, "calibration": calibration}
        return {split: rest[i] for split, i in stratified_split(whole.labels[rest], sizes, self.seed).items()} | {
            "test": test
        }


@check_kinds
def stratified_split(labels: np.ndarray, sizes: dict[str, int], seed: Natural) -> dict[str, np.ndarray]:
    """Disjoint, sorted places of `sizes` samples for each name, stratified by the labels `[N]`; at most N in all."""
    if sum(sizes.values()) > len(labels):
        raise InputError(
            f"Expected at least {counted(sum(sizes.values()), 'image')} for the splits, got {len(labels)}."
        )
    rng = np.random.default_rng(seed)
    # Shuffled classes spread evenly: any interval of this order has every class in proportion.
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
    order = np.argsort(place, kind="stable")
    ends = np.cumsum(list(sizes.values()))
    return {name: np.sort(order[end - size : end]) for (name, size), end in zip(sizes.items(), ends, strict=True)}


@check_kinds
def check_fit(
    samples: Samples,
    num_classes: int,
    timesteps: int,
    sample_shape: Sequence[int] | None = None,
    network: str = "the network",
    class_names: Sequence[str] = (),
) -> None:
    """Refuse samples of other classes, another T or another shape than a network's, where they are known.

    Args:
        samples: still images, or frames over time.
        num_classes: K of the network.
        timesteps: T of the network.
        sample_shape: of one input: (C, H, W), or (T, C, H, W) of frames.
        network: its name in the error.
        class_names: of its classes, in their order.
    """
    if samples.class_names and num_classes != len(samples.class_names):
        raise InputError(
            f"Expected samples of {network}'s {num_classes} classes, got {len(samples.class_names)} in "
            f"{samples.dataset}: use the dataset that it was made for, or build it with that num_classes."
        )
    names, own = tuple(samples.class_names), tuple(class_names)
    if own != names and sorted(own) == sorted(names):
        label = next(k for k, name in enumerate(own) if name != names[k])
        raise InputError(
            f"Expected the classes of {samples.dataset} in the order of {network}'s, got {names[label]!r} for "
            f"its class {label}, {own[label]!r}: give the labels that order."
        )
    if samples.images.ndim == 5:
        check_timesteps(samples.images.shape[1], timesteps, samples.dataset)
    shape = tuple(samples.images.shape[1:])
    if sample_shape is not None and len(shape) == len(sample_shape) and shape != tuple(sample_shape):
        advice = channels_advice(shape, tuple(sample_shape))
        if advice == ".":
            advice = ": use the dataset that it was made for, or resize images of a folder to its size (image_size)."
        raise InputError(
            f"Expected samples of {network}'s shape {list(sample_shape)}, got {list(shape)} in {samples.dataset}"
            + advice
        )


def checked_division(facts: Any) -> dict[str, Any]:
    """`Splits.division` that was read from a file; a `ValueError` for facts that are none."""
    sizes = facts.get("sizes") if isinstance(facts, dict) else None
    if (
        not isinstance(sizes, dict)
        or not all(isinstance(size, int) for size in sizes.values())
        or not isinstance(facts.get("dataset"), str)
        or not isinstance(facts.get("seed"), int)
    ):
        raise ValueError("its division has no dataset, seed and sizes")
    return facts


def check_division(
    division: Mapping[str, Any], trained: Mapping[str, Any] | None, network: str = "the backbone"
) -> None:
    """Refuse another division of a dataset (`Splits.division`) than that of a network's training.

    None, an empty division, or one of another dataset is not compared.
    """
    if division and trained and division["dataset"] == trained["dataset"] and dict(division) != dict(trained):
        raise InputError(
            f"Expected {division['dataset']} divided as {network} was trained on it ({_in_words(trained)}), got "
            f"{_in_words(division)}: its training images could be among the others; use the same seed, policy_size "
            "and calibration_size."
        )


def _in_words(division: Mapping[str, Any]) -> str:
    sizes = ", ".join(f"{split} {size}" for split, size in division["sizes"].items())
    return f"seed {division['seed']}, {sizes}"


def check_timesteps(frames: int, timesteps: int | None, where: str) -> None:
    """Raise an `InputError` for frames of another T than the network's (None accepts any)."""
    if timesteps is not None and frames != timesteps:
        raise InputError(
            f"Expected frames for the network's {counted(timesteps, 'timestep')}, got {frames} a sample in {where}: "
            f"use a network with timesteps={frames}, or bin the events into {timesteps}."
        )
