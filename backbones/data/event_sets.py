"""CIFAR10-DVS, DVS128-Gesture and N-MNIST: events counted in T frames, read by `tonic`.

tonic is an optional extra under the GPL, imported only for these datasets.

Letters: N recordings, T frames, E events, W × H pixels of the sensor.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backbones.data.cache import cache_file, cached_rows
from backbones.data.samples import Whole
from backbones.errors import InputError


class _Set(NamedTuple):
    type: str
    """Its class in `tonic.datasets`."""
    parts: tuple[dict[str, bool], ...]
    """Its arguments for training and test recordings, or for the only part."""


BOTH: tuple[dict[str, bool], ...] = ({"train": True}, {"train": False})
EVENT_SETS = {
    "cifar10-dvs": _Set("CIFAR10DVS", ({},)),
    "dvs128-gesture": _Set("DVSGesture", BOTH),
    "n-mnist": _Set("NMNIST", BOTH),
}


def read_events(
    name: str,
    root: Path,
    timesteps: int,
    *,
    size: int | None = None,
    cache_dir: Path,
    download: bool = False,
) -> Whole:
    """A dataset of `EVENT_SETS` as frames `[N, T, 2, H, W]` uint8, counted once into a mapped cache.

    `root` has tonic's folder, such as `NMNIST/`, or gets it by `download`. Frames have `size` pixels a side (default:
    those of the sensor). Without test recordings (CIFAR10-DVS), one in ten is drawn.
    """
    parts = [_open(name, root, download, settings) for settings in EVENT_SETS[name].parts]
    orders = [sorted(range(len(part)), key=lambda row, part=part: str(part.data[row])) for part in parts]  # type: ignore[misc]
    files = [Path(part.data[row]) for part, order in zip(parts, orders, strict=True) for row in order]
    labels = np.array([part.targets[row] for part, order in zip(parts, orders, strict=True) for row in order], np.int64)
    sensor = parts[0].sensor_size[:2]

    def frames() -> Iterator[np.ndarray]:
        for part, order in zip(parts, orders, strict=True):
            for row in order:
                yield count_events(_events(part, row), timesteps, sensor, size)

    cache = cache_file(cache_dir, name, files, root, timesteps, size)
    images = cached_rows(cache, frames(), len(files), "count events")
    test: np.ndarray | int = 10 if len(parts) == 1 else np.arange(len(parts[0]), len(files))
    names = tuple(str(each).split(" - ")[0] for each in parts[0].classes)
    return Whole(images, labels, names, name, test)


def count_events(events: np.ndarray, timesteps: int, sensor: tuple[int, int], size: int | None = None) -> np.ndarray:
    """`[T, 2, H, W]` uint8 counts, at most 255, of events by interval of time, polarity (0 off, 1 on) and place.

    The T intervals between the first event and the last are equal. Events `[E]` have fields "t", "x", "y" and "p";
    those beyond the sensor (W, H) do not count; of frames of another size, those of several pixels are added up.
    """
    W, H = sensor
    width, height = (W, H) if size is None else (size, size)
    t, x, y = (events[name].astype(np.int64) for name in ("t", "x", "y"))
    p = (events["p"] > 0).astype(np.int64)
    seen = (x >= 0) & (x < W) & (y >= 0) & (y < H)
    if not seen.any():
        return np.zeros((timesteps, 2, height, width), np.uint8)
    t, x, y, p = t[seen], x[seen] * width // W, y[seen] * height // H, p[seen]
    frame = (t - t.min()) * timesteps // (t.max() - t.min() + 1)
    place = ((frame * 2 + p) * height + y) * width + x
    counts = np.bincount(place, minlength=timesteps * 2 * height * width)
    return counts.clip(max=255).astype(np.uint8).reshape(timesteps, 2, height, width)


def _open(name: str, root: Path, download: bool, settings: dict[str, bool]) -> Any:
    """Tonic's dataset, which downloads missing files only where `download` is set."""
    try:
        from tonic import datasets
        from tonic.download_utils import check_integrity
    except ImportError as error:
        raise InputError(
            f"Expected tonic to read {name}, which is not installed ({error}): pip install 'seenn-env[events]' "
            "(tonic is under the GPL), or write a frames file and use the dataset 'frames'."
        ) from error
    made: type = getattr(datasets, EVENT_SETS[name].type)

    def fetch(self: Any) -> None:
        archive = Path(self.location_on_system) / self.filename
        if not download and not check_integrity(str(archive), self.file_md5):
            raise FileNotFoundError(archive)
        made.download(self)  # type: ignore[attr-defined]  # an archive that is there is only unpacked

    # tonic names the folder after the class.
    kind = type(made.__name__, (made,), {"download": fetch})
    try:
        return kind(str(root), **settings)
    except FileNotFoundError as error:
        raise InputError(
            f"Expected {name} in {root / made.__name__} as tonic keeps it, but {Path(error.args[0]).name} is missing "
            "there or not whole: name the folder that holds it by root=…, or pass download=True."
        ) from error
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"Expected to download {name} to {root}, which failed ({error}): put its archive there yourself."
        ) from error


def _events(part: Any, row: int) -> np.ndarray:
    try:
        events: np.ndarray = part[row][0]
    except Exception as error:  # of tonic's readers
        raise InputError(
            f"Expected a recording of events, but {part.data[row]} cannot be read ({error}): fetch it anew."
        ) from error
    return events
