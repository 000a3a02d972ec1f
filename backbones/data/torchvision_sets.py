"""CIFAR-10, CIFAR-100, MNIST, Fashion-MNIST and SVHN from torchvision's files.

torchvision checks files by their published checksums, and unpickles CIFAR's only if they match.

Letters: N images, C channels, H × W pixels.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backbones.argument_checks import check_kinds
from backbones.data.samples import Whole
from backbones.errors import InputError


class _Set(NamedTuple):
    type: str
    """Its class in `torchvision.datasets`."""
    files: str
    """Expected files of the folder."""


DIGITS = tuple("0123456789")
TORCHVISION_SETS = {
    "cifar10": _Set("CIFAR10", "cifar-10-batches-py/"),
    "cifar100": _Set("CIFAR100", "cifar-100-python/"),
    "fashion-mnist": _Set("FashionMNIST", "FashionMNIST/raw/"),
    "mnist": _Set("MNIST", "MNIST/raw/"),
    "svhn": _Set("SVHN", "train_32x32.mat and test_32x32.mat"),
}


@check_kinds
def read_torchvision(name: str, root: Path, *, download: bool = False) -> Whole:
    """A dataset of `TORCHVISION_SETS` in torchvision's folder or files: training images, then its own test images; an
    `InputError` for missing or damaged files, or a failed download.
    """
    parts = [_open(name, root, train, download) for train in (True, False)]
    images = np.concatenate([_images(part.data) for part in parts])
    labels = np.concatenate([part.labels if hasattr(part, "labels") else part.targets for part in parts])
    names = tuple(getattr(parts[0], "classes", DIGITS))
    if name == "mnist":  # torchvision has "0 - zero"
        names = DIGITS
    return Whole(images, labels.astype(np.int64), names, name, np.arange(len(parts[0]), len(images)))


def _open(name: str, root: Path, train: bool, download: bool) -> Any:
    from torchvision import datasets  # slow to import

    kind, files = TORCHVISION_SETS[name]
    part = {"split": "train" if train else "test"} if name == "svhn" else {"train": train}
    try:
        return getattr(datasets, kind)(root, download=download, **part)
    except (OSError, RuntimeError) as error:
        if download:
            raise InputError(
                f"Expected to download {name} to {root}, which failed ({error}): put {files} there yourself."
            ) from error
        raise InputError(
            f"Expected {name} in {root}, but {files} is missing there or not whole: "
            "name the folder that holds it by root=…, or pass download=True to fetch it."
        ) from error


def _images(data: Any) -> np.ndarray:
    """`[N, C, H, W]` uint8 of `[N, H, W]`, `[N, C, H, W]` or `[N, H, W, C]`."""
    data = np.asarray(data)
    if data.ndim == 3:
        return data[:, None]
    return data if data.shape[1] == 3 else data.transpose(0, 3, 1, 2)
