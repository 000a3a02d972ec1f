"""Images with disjoint, recorded splits.

    splits = load_dataset("digits")
    splits.policy.images          # uint8 [N, C, H, W]

`train` is for the backbone, `policy` for those who learn when to exit, `calibration` for thresholds and
model selection, `test` for the final table.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backbones.errors import InputError, unknown_name
from backbones.folder import CACHE_NAME, decoded, list_images

SPLITS = ("train", "policy", "calibration", "test")


@dataclass(frozen=True)
class Samples:
    """Labelled images of one split."""

    images: np.ndarray
    """`[N, C, H, W]` uint8."""
    labels: np.ndarray
    """`[N]` int64 in 0…K-1."""
    index: np.ndarray
    """`[N]` int64: the row's place in the whole dataset, unique within it."""
    class_names: tuple[str, ...]
    dataset: str
    split: str

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: np.ndarray | slice) -> "Samples":
        """Those rows only, of the same split."""
        return replace(self, images=self.images[rows], labels=self.labels[rows], index=self.index[rows])


@dataclass(frozen=True)
class Splits:
    """A dataset's four parts; no image is in two of them."""

    train: Samples
    policy: Samples
    calibration: Samples
    test: Samples

    def __getitem__(self, name: str) -> Samples:
        if name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
        samples: Samples = getattr(self, name)
        return samples


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


def digits(root: Path | None = None, seed: int = 0, **options: Any) -> Splits:
    """scikit-learn's 1,797 handwritten digits, 8 × 8 pixels (UCI's "Optical Recognition" test set)."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = np.round(raw.images[:, None] * (255 / 16)).astype(np.uint8)
    labels = raw.target.astype(np.int64)
    sizes = {"train": 700, "policy": 300, "calibration": 300, "test": 497}
    rows = stratified_split(labels, sizes, seed)
    names = tuple(str(name) for name in raw.target_names)
    return Splits(**{split: Samples(images[i], labels[i], i, names, "digits", split) for split, i in rows.items()})


def folder(
    root: Path | None,
    seed: int = 0,
    *,
    cache_dir: Path | None = None,
    image_size: int | None = None,
) -> Splits:
    """A class-per-folder tree: `train/CLASS/*.jpg` and `test/CLASS/*.jpg`, or `CLASS/*.jpg` alone.

    Of the images that are no test images, a tenth each is `policy` and `calibration`; where the tree names
    no test images, a fifth is `test` first. Indices count the files sorted by class and name, training
    images before test images.

    Raises:
        InputError: for a wrong folder, an empty class, an unreadable image.
    """
    if root is None:
        raise InputError("Expected the folder of the images: set root (--data-dir).")
    given = (root / "train").is_dir() and (root / "test").is_dir()
    parts = [list_images(root / name) for name in ("train", "test")] if given else [list_images(root)]
    names = parts[0][2]
    if parts[-1][2] != names:
        raise InputError(f"Expected the classes of train in test too ({', '.join(names)}), got {parts[-1][2]}.")
    files = [file for part in parts for file in part[0]]
    labels = np.concatenate([part[1] for part in parts])
    images = decoded(files, root, cache_dir or root / CACHE_NAME, image_size)
    rest = np.arange(len(parts[0][0]))
    rows: dict[str, np.ndarray] = {}
    if given:
        rows["test"] = np.arange(len(rest), len(files))
    else:
        taken = stratified_split(labels, {"test": len(files) // 5, "rest": len(files) - len(files) // 5}, seed)
        rows["test"], rest = taken["test"], taken["rest"]
    tenth = len(rest) // 10
    sizes = {"train": len(rest) - 2 * tenth, "policy": tenth, "calibration": tenth}
    rows |= {split: rest[i] for split, i in stratified_split(labels[rest], sizes, seed).items()}
    for split, i in rows.items():
        if len(i) == 0:
            raise InputError(f"Expected images enough for four splits in {root}, got {len(files)}: none for {split}.")
    return Splits(**{split: Samples(images[i], labels[i], i, names, root.name, split) for split, i in rows.items()})


DATASETS: dict[str, Callable[..., Splits]] = {"digits": digits, "folder": folder}


def load_dataset(
    name: str,
    root: str | Path | None = None,
    *,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    image_size: int | None = None,
) -> Splits:
    """The dataset of that name, split.

    Args:
        name: "digits", or "folder" for a class-per-folder tree of images.
        root: folder of the data, where the dataset is not part of a package.
        seed: of the split.
        cache_dir: folder for decoded images (default: in `root`).
        image_size: resize images of a folder to this many pixels a side.

    Raises:
        InputError: for a name that is not known, or data that are not as expected.
    """
    if name not in DATASETS:
        raise unknown_name("dataset", name, DATASETS)
    cache = None if cache_dir is None else Path(cache_dir)
    return DATASETS[name](None if root is None else Path(root), seed, cache_dir=cache, image_size=image_size)
