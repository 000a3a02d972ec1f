"""Disjoint, recorded splits of a dataset.

`train` is for the backbone, `policy` for those who learn when to exit, `calibration` for thresholds and
model selection, `test` for the final table.

Letters: N samples, C channels, H × W pixels, T frames.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from backbones.argument_checks import check_fields, check_kinds
from backbones.contract.inputs import channels_advice
from backbones.errors import InputError, unknown_name
from backbones.row_view import RowView, rows_of
from backbones.tensors import is_tensor

SPLITS = ("train", "policy", "calibration", "test")


def _array(given: Any, name: str) -> np.ndarray:
    """An array of one, a tensor, or a list of numbers.

    Raises:
        InputError: for something else.
    """
    try:
        array = np.asarray(given.detach().cpu() if is_tensor(given) else given)
    except (ValueError, TypeError) as error:
        raise InputError(f"Expected {name} of samples as an array or a tensor, got {type(given).__name__}.") from error
    if array.dtype.kind not in "biuf":
        raise InputError(f"Expected {name} of samples as an array or a tensor of numbers, got {type(given).__name__}.")
    return array


@dataclass(frozen=True)
class Samples:
    """Labelled images of one split. Tensors become arrays.

    Raises:
        InputError: for labels, an index or names that do not fit, or an unknown split.
    """

    images: np.ndarray
    """`[N, C, H, W]` uint8 or floats in [0, 1]; or frames over time, `[N, T, C, H, W]` counts of events or floats."""
    labels: np.ndarray
    """`[N]` int64 in 0…K-1."""
    index: np.ndarray
    """`[N]` int64: the row's place in the whole dataset, unique within it (None: 0…N-1)."""
    class_names: tuple[str, ...]
    """`[K]`; empty where they are not known."""
    dataset: str
    split: str
    division: dict[str, Any] = field(default_factory=dict)
    """How the dataset was divided, JSON-able: "seed", and "sizes" by split."""

    def __post_init__(self) -> None:
        images = self.images
        if not isinstance(images, RowView | np.ndarray):
            images = _array(images, "images")
        if images.ndim < 2:
            raise InputError(f"Expected images [N, …] of samples, got {list(images.shape)}.")
        index = np.arange(len(images)) if self.index is None else self.index
        for name, value in (("labels", self.labels), ("index", index)):
            given = _array(value, name)
            if (
                given.shape != (len(images),)
                or given.dtype.kind not in "iuf"
                or (given != given.astype(np.int64)).any()
            ):
                raise InputError(
                    f"Expected {name} [{len(images)}] of whole numbers, one for each image, got {list(given.shape)} of "
                    f"{given.dtype}."
                )
            object.__setattr__(self, name, given.astype(np.int64, copy=False))
        if isinstance(self.class_names, str) or not isinstance(self.class_names, Iterable | None):
            raise InputError(f"Expected class_names as a tuple of names, got {self.class_names!r}.")
        names = tuple(str(name) for name in (() if self.class_names is None else self.class_names))
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

    def select(self, rows: np.ndarray | slice) -> "Samples":
        """Those rows only, of the same split.

        Raises:
            InputError: for what chooses no rows.
        """
        if not isinstance(rows, slice):
            given = _array(rows, "rows")
            rows = given.astype(np.int64) if given.size == 0 else given
            within = rows.shape == (len(self),) if rows.dtype == bool else bool((np.abs(rows + 0.5) <= len(self)).all())
            if rows.ndim != 1 or rows.dtype.kind not in "biu" or not within:
                raise InputError(
                    f"Expected rows [R] in 0…{len(self) - 1}, a mask [{len(self)}] or a slice, got {rows!r}."
                )
        return replace(self, images=self.images[rows], labels=self.labels[rows], index=self.index[rows])

    def evenly(self, count: int) -> "Samples":
        """At most that many, spread over all: a folder's come class by class."""
        return self.select(np.arange(min(count, len(self))) * len(self) // min(count, len(self)))


@dataclass(frozen=True)
class Splits:
    """A dataset's four parts; no image is in two of them."""

    train: Samples
    policy: Samples
    calibration: Samples
    test: Samples

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def division(self) -> dict[str, Any]:
        """Which dataset was divided, and how: "dataset", "seed" and "sizes" by split; empty where it is not known."""
        known = self.train.division
        return {"dataset": self.train.dataset, **known} if known else {}

    def __getitem__(self, name: str) -> Samples:
        if not isinstance(name, str) or name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
        samples: Samples = getattr(self, name)
        return samples


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
    """Rows of the test images; or a number n, and one image in n is drawn for test."""
    split: np.ndarray | None = None
    """`[N]` places in `SPLITS`, where the dataset has splits of its own; of train and test alone, train is divided."""


@dataclass(frozen=True)
class Division:
    """How a dataset is to be divided."""

    seed: int = 0
    """Of the shuffle."""
    policy_size: int | None = None
    """Images for `policy` (None: a tenth of those that are no test images)."""
    calibration_size: int | None = None
    """Images for `calibration` (None: likewise)."""

    def __post_init__(self) -> None:
        for name in ("policy_size", "calibration_size"):
            if (size := getattr(self, name)) is not None and size < 1:
                raise InputError(f"Expected {name} of at least 1, got {size}.")

    def of(self, whole: Whole) -> Splits:
        """The splits of a dataset, every class in proportion; large files stay mapped.

        Raises:
            InputError: where there are too few images for four splits, or the dataset's own splits are not
                those four.
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
        """Test images as they are given, or drawn; and the others dealt out."""
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


def stratified_split(labels: np.ndarray, sizes: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    """Disjoint, sorted rows for each name, every class in proportion; what is left over goes to nobody.

    Args:
        labels: `[N]`.
        sizes: how many rows each name gets.
        seed: of the shuffle.

    Raises:
        InputError: when there are fewer rows than asked for.
    """
    if sum(sizes.values()) > len(labels):
        raise InputError(f"Expected at least {sum(sizes.values())} images for the splits, got {len(labels)}.")
    rng = np.random.default_rng(seed)
    # Shuffled classes dealt out evenly: any stretch of this order holds every class in proportion.
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
    """Refuse samples that a network is not made for.

    Args:
        samples: still images, or frames over time.
        num_classes: K of the network.
        timesteps: its T.
        sample_shape: of one input, where it is known: (C, H, W), or (T, C, H, W) of frames.
        network: what to call it.
        class_names: of its classes, where they are known.

    Raises:
        InputError: for more or fewer classes than K, the same classes in another order, frames for another T, or
            images of another shape.
    """
    if samples.class_names and num_classes != len(samples.class_names):
        raise InputError(
            f"Expected samples of {network}'s {num_classes} classes, got {len(samples.class_names)} in "
            f"{samples.dataset}: use the dataset that it was made for, or build it with that num_classes."
        )
    given_names, own = tuple(samples.class_names), tuple(class_names)
    if own != given_names and sorted(own) == sorted(given_names):
        label = next(k for k, name in enumerate(own) if name != given_names[k])
        raise InputError(
            f"Expected the classes of {samples.dataset} in the order of {network}'s, got {given_names[label]!r} for "
            f"its class {label}, {own[label]!r}: give the labels that order."
        )
    if samples.images.ndim == 5:
        check_timesteps(samples.images.shape[1], timesteps, samples.dataset)
    given = samples.images.shape[1:]
    if sample_shape is not None and len(given) == len(sample_shape) and tuple(given) != tuple(sample_shape):
        advice = channels_advice(tuple(given), tuple(sample_shape))
        if advice == ".":
            advice = ": use the dataset that it was made for, or resize images of a folder to its size (--image-size)."
        raise InputError(
            f"Expected samples of {network}'s shape {list(sample_shape)}, got {list(given)} in {samples.dataset}"
            + advice
        )


def check_division(given: Mapping[str, Any], trained: Mapping[str, Any] | None, network: str = "the backbone") -> None:
    """Refuse a dataset that is divided in another way than it was when a network was trained on it.

    Args:
        given: `Splits.division`.
        trained: the division that the network was saved with; None or empty, like another dataset, is not compared.
        network: what to call it.

    Raises:
        InputError: for another seed or other sizes of the same dataset.
    """
    if given and trained and given["dataset"] == trained["dataset"] and dict(given) != dict(trained):
        raise InputError(
            f"Expected {given['dataset']} divided as {network} was trained on it ({_in_words(trained)}), got "
            f"{_in_words(given)}: its training images could be among the others; use the same seed (--seed), "
            "policy_size (--policy-size) and calibration_size (--calibration-size)."
        )


def _in_words(division: Mapping[str, Any]) -> str:
    sizes = ", ".join(f"{split} {size}" for split, size in division["sizes"].items())
    return f"seed {division['seed']}, {sizes}"


def check_timesteps(given: int, wanted: int | None, where: str) -> None:
    """Refuse frames of another T than the network's (None takes any).

    Raises:
        InputError: naming both.
    """
    if wanted is not None and given != wanted:
        raise InputError(
            f"Expected frames for the network's {wanted} timesteps, got {given} a sample in {where}: "
            f"use a network with timesteps={given} (--timesteps), or bin the events into {wanted}."
        )
