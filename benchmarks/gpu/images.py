"""CIFAR-10 for a machine with a GPU: an archive of JPEGs, decoded by all cores in seconds, or torchvision's folder."""

import io
import os
import tarfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

import backbones as bb
from backbones.data import Division, Whole, read_torchvision

HELD_OUT = 2_500
"""Images of `policy`, and of `calibration`; a quarter of the training images each where there are fewer than 10,000."""


def read(data: Path) -> bb.Splits:
    """The division 45,000 / 2,500 / 2,500 / 10,000 (train, policy, calibration, test), seed 0.

    Args:
        data: a tar archive of `train/CLASS/NAME.jpg` and `test/CLASS/NAME.jpg`, or a folder with torchvision's
            `cifar-10-batches-py`.

    Raises:
        InputError: for anything else.
    """
    whole = _archive(data) if data.is_file() else read_torchvision("cifar10", data, download=False)
    assert isinstance(whole.test, np.ndarray)
    held_out = min(HELD_OUT, (len(whole.labels) - len(whole.test)) // 4)
    return Division(0, held_out, held_out).of(whole)


def _archive(path: Path) -> Whole:
    files: dict[tuple[str, str, str], bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for entry in archive:
                parts = PurePosixPath(entry.name).parts[-3:]
                if entry.isfile() and len(parts) == 3:
                    content = archive.extractfile(entry)
                    assert content is not None
                    files[parts[0], parts[1], parts[2]] = content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise bb.InputError(f"Expected a tar archive of JPEGs, got {path} ({error}).") from error
    places = sorted(files, key=lambda place: (place[0] != "train", *place))
    if {place[0] for place in places} != {"train", "test"}:
        raise bb.InputError(
            f"Expected train/CLASS/*.jpg and test/CLASS/*.jpg in {path}, got {len(places)} other files."
        )
    names = tuple(sorted({place[1] for place in places}))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        images = list(pool.map(_decode, (files[place] for place in places), chunksize=500))
    labels = np.array([names.index(place[1]) for place in places], np.int64)
    first_test = sum(place[0] == "train" for place in places)
    dataset = path.name.split(".")[0]
    return Whole(np.stack(images), labels, names, dataset, np.arange(first_test, len(places)))


def _decode(content: bytes) -> np.ndarray:
    """`[C, H, W]` uint8."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1)
