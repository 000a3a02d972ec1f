"""Images and event streams by name, with disjoint, recorded splits.

    splits = load_dataset("digits")
    splits.policy.images          # uint8 [N, C, H, W]

What each name stands for, and how its folder must look: `docs/datasets.md`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbones.argument_checks import check_kinds
from backbones.data.cache import CACHE_NAME
from backbones.data.event_sets import EVENT_SETS, read_events
from backbones.data.frame_file import read_frames
from backbones.data.image_folder.layout import read_tree
from backbones.data.image_folder.pixels import decoded
from backbones.data.samples import SPLITS, Division, Samples, Splits, Whole, stratified_split
from backbones.data.torchvision_sets import TORCHVISION_SETS, read_torchvision
from backbones.errors import InputError, unknown_name

__all__ = ["DATASETS", "SPLITS", "Samples", "Splits", "load_dataset", "stratified_split"]


@dataclass(frozen=True)
class Wanted:
    """What `load_dataset` was asked for."""

    name: str
    root: Path | None
    division: Division
    cache_dir: Path | None
    image_size: int | None
    timesteps: int | None
    download: bool

    @property
    def place(self) -> Path:
        """The folder or file that holds the data.

        Raises:
            InputError: where none was named.
        """
        if self.root is None:
            raise InputError(f"Expected where the data of {self.name!r} are: set root (--data-dir).")
        return self.root

    @property
    def cache(self) -> Path:
        """The folder for what is decoded."""
        return self.cache_dir or self.place / CACHE_NAME

    def refuse_size(self) -> None:
        """Refuse to resize what has one size.

        Raises:
            InputError: where `image_size` was set.
        """
        if self.image_size is not None:
            raise InputError(
                f"Expected no image_size for {self.name!r}, whose images have one size, got {self.image_size}."
            )

    def refuse(self, *names: str) -> None:
        """Refuse settings that the dataset does not read.

        Raises:
            InputError: for the first that was set.
        """
        for name in names:
            if value := getattr(self, name):
                flag = {"root": "--data-dir"}.get(name, "--" + name.replace("_", "-"))
                raise InputError(
                    f"Expected no {name} ({flag}) for {self.name!r}, which does not read it, got {value}: leave it out."
                )


def _digits(wanted: Wanted) -> Whole:
    from sklearn.datasets import load_digits

    wanted.refuse_size()
    wanted.refuse("root", "cache_dir", "download")
    raw = load_digits()
    images = np.round(raw.images[:, None] * (255 / 16)).astype(np.uint8)
    labels = raw.target.astype(np.int64)
    policy, calibration = (size or 300 for size in (wanted.division.policy_size, wanted.division.calibration_size))
    sizes = {"train": max(0, 1300 - policy - calibration), "policy": policy, "calibration": calibration, "test": 497}
    codes = np.zeros(len(labels), np.uint8)
    for split, rows in stratified_split(labels, sizes, wanted.division.seed).items():
        codes[rows] = SPLITS.index(split)
    return Whole(images, labels, tuple(str(name) for name in raw.target_names), "digits", 0, codes)


def _folder(wanted: Wanted) -> Whole:
    wanted.refuse("download")
    root = wanted.place
    tree = read_tree(root)
    images = decoded(tree.files, root, wanted.cache, wanted.image_size)
    return Whole(images, tree.labels, tree.class_names, root.name, 5 if tree.test is None else tree.test)


def _torchvision(wanted: Wanted) -> Whole:
    wanted.refuse_size()
    wanted.refuse("cache_dir")
    return read_torchvision(wanted.name, wanted.place, download=wanted.download)


def _frames(wanted: Wanted) -> Whole:
    wanted.refuse_size()
    wanted.refuse("cache_dir", "download")
    whole, division = read_frames(wanted.place, wanted.timesteps), wanted.division
    own = whole.split is not None and not {1, 2}.isdisjoint(whole.split.tolist())
    if own and (division.policy_size or division.calibration_size):
        raise InputError(f"Expected no policy_size and calibration_size for {wanted.place}, which has its own splits.")
    return whole


def _events(wanted: Wanted) -> Whole:
    if wanted.timesteps is None:
        raise InputError(f"Expected how many frames to count the events of {wanted.name!r} in: set timesteps.")
    return read_events(
        wanted.name,
        wanted.place,
        wanted.timesteps,
        size=wanted.image_size,
        cache_dir=wanted.cache,
        download=wanted.download,
    )


DATASETS: dict[str, Callable[[Wanted], Whole]] = {
    "digits": _digits,
    "folder": _folder,
    "frames": _frames,
    **dict.fromkeys(EVENT_SETS, _events),
    **dict.fromkeys(TORCHVISION_SETS, _torchvision),
}


@check_kinds
def load_dataset(
    name: str,
    root: str | Path | None = None,
    *,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    image_size: int | None = None,
    timesteps: int | None = None,
    policy_size: int | None = None,
    calibration_size: int | None = None,
    download: bool = False,
) -> Splits:
    """The dataset of that name, split.

    Of the images that are no test images, a tenth each is `policy` and `calibration`, unless sizes are
    given. Test images are the dataset's own; where it names none, a fifth of the images (a tenth of
    CIFAR10-DVS) is drawn first. Indices count the training images, then the test images.

    Args:
        name: "digits"; "cifar10", "cifar100", "mnist", "fashion-mnist" or "svhn", as torchvision keeps them;
            "folder" for a tree of images; "cifar10-dvs", "dvs128-gesture" or "n-mnist", read by tonic;
            "frames" for a file of them (see `backbones.data.frame_file`).
        root: folder (or file, of frames) that holds the data, where the dataset is not part of a package.
        seed: of the split.
        cache_dir: folder for decoded images and counted events (default: in `root`).
        image_size: resize images of a folder, or count events, to this many pixels a side.
        timesteps: how many frames events are counted in; frames of a file must be as many.
        policy_size: images for `policy`.
        calibration_size: images for `calibration`.
        download: fetch what is missing (torchvision's and the event sets); nothing is fetched otherwise.

    Raises:
        InputError: for a name that is not known, or data that are not as expected.
    """
    if seed < 0:
        raise InputError(f"Expected a seed of at least 0, got {seed}.")
    if name not in DATASETS:
        raise unknown_name("dataset", name, DATASETS)
    wanted = Wanted(
        name,
        None if root is None else Path(root),
        Division(seed, policy_size, calibration_size),
        None if cache_dir is None else Path(cache_dir),
        image_size,
        timesteps,
        download,
    )
    return wanted.division.of(DATASETS[name](wanted))
