"""Datasets by name, with disjoint, recorded splits; `docs/datasets.md` describes them.

splits = load_dataset("digits")
splits.policy.images          # uint8 [N, C, H, W]
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbones.argument_checks import Natural, check_kinds
from backbones.data.cache import CACHE_NAME
from backbones.data.event_sets import EVENT_SETS, read_events
from backbones.data.frame_file import read_frames
from backbones.data.image_folder.layout import read_tree
from backbones.data.image_folder.pixels import decoded
from backbones.data.samples import SPLITS, Division, Splits, Whole, stratified_split
from backbones.data.torchvision_sets import TORCHVISION_SETS, read_torchvision
from backbones.errors import InputError, printable, unknown_name


@dataclass(frozen=True)
class Request:
    """Arguments of `load_dataset`."""

    name: str
    root: Path | None
    division: Division
    cache_dir: Path | None
    image_size: int | None
    timesteps: int | None
    download: bool

    @property
    def place(self) -> Path:
        """The folder or file of the data; an `InputError` where none was given."""
        if self.root is None:
            raise InputError(f"Expected where the data of {self.name!r} are: set root.")
        return self.root

    @property
    def cache(self) -> Path:
        """The folder for caches."""
        return self.cache_dir or self.place / CACHE_NAME

    def refuse(self, *names: str) -> None:
        """Raise an `InputError` where one of these settings, which the dataset does not read, was given."""
        for name in names:
            if value := getattr(self, name):
                raise InputError(
                    f"Expected no {name} for {self.name!r}, which does not read it, got {value}: leave it out."
                )


def _digits(request: Request) -> Whole:
    from sklearn.datasets import load_digits

    request.refuse("root", "cache_dir", "image_size", "download")
    raw = load_digits()
    images = np.round(raw.images[:, None] * (255 / 16)).astype(np.uint8)
    labels = raw.target.astype(np.int64)
    policy, calibration = (size or 300 for size in (request.division.policy_size, request.division.calibration_size))
    sizes = {"train": max(0, 1300 - policy - calibration), "policy": policy, "calibration": calibration, "test": 497}
    codes = np.zeros(len(labels), np.uint8)
    for split, rows in stratified_split(labels, sizes, request.division.seed).items():
        codes[rows] = SPLITS.index(split)
    return Whole(images, labels, tuple(str(name) for name in raw.target_names), "digits", 0, codes)


def _folder(request: Request) -> Whole:
    request.refuse("download")
    root = request.place
    tree = read_tree(root)
    images = decoded(tree.files, root, request.cache, request.image_size)
    return Whole(images, tree.labels, tree.class_names, printable(root.name), 5 if tree.test is None else tree.test)


def _torchvision(request: Request) -> Whole:
    request.refuse("cache_dir", "image_size")
    return read_torchvision(request.name, request.place, download=request.download)


def _frames(request: Request) -> Whole:
    request.refuse("cache_dir", "image_size", "download")
    whole, division = read_frames(request.place, request.timesteps), request.division
    own = whole.split is not None and not {1, 2}.isdisjoint(whole.split.tolist())
    if own and (division.policy_size or division.calibration_size):
        raise InputError(f"Expected no policy_size and calibration_size for {request.place}, which has its own splits.")
    return whole


def _events(request: Request) -> Whole:
    if request.timesteps is None:
        raise InputError(f"Expected how many frames to count the events of {request.name!r} in: set timesteps.")
    options: dict[str, Any] = {"size": request.image_size, "cache_dir": request.cache, "download": request.download}
    return read_events(request.name, request.place, request.timesteps, **options)


DATASETS: dict[str, Callable[[Request], Whole]] = {
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
    seed: Natural = 0,
    cache_dir: str | Path | None = None,
    image_size: int | None = None,
    timesteps: int | None = None,
    policy_size: int | None = None,
    calibration_size: int | None = None,
    download: bool = False,
) -> Splits:
    """The dataset of that name, split.

    Test images are the dataset's own; where it has none, a fifth of the images (a tenth of CIFAR10-DVS) is drawn. A
    tenth of the other images each is `policy` and `calibration`, unless sizes are given. Indices count the training
    images, then the test images.

    Args:
        name: "digits"; "cifar10", "cifar100", "mnist", "fashion-mnist" or "svhn", in torchvision's files; "folder" for
            a tree of images; "cifar10-dvs", "dvs128-gesture" or "n-mnist", read by tonic; "frames" for a file of them
            (see `backbones.data.frame_file`).
        root: folder (or file of frames) of the data, where they are not part of a package.
        seed: of the split.
        cache_dir: folder for decoded images and counted events (default: in `root`).
        image_size: resize images of a folder, or count events, to this many pixels a side.
        timesteps: number of frames of events, or expected number of frames in a file.
        policy_size: images for `policy`.
        calibration_size: images for `calibration`.
        download: download missing files (of torchvision's and the event sets).

    Raises:
        InputError: for an unknown name, or unexpected data.
    """
    if name not in DATASETS:
        raise unknown_name("dataset", name, DATASETS)
    request = Request(
        name,
        None if root is None else Path(root),
        Division(seed, policy_size, calibration_size),
        None if cache_dir is None else Path(cache_dir),
        image_size,
        timesteps,
        download,
    )
    return request.division.of(DATASETS[name](request))
