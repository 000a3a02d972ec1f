"""Frames over time in one file, `.npz` or `.safetensors`, which NumPy alone can write.

| array | shape | holds |
| --- | --- | --- |
| `frames` | `[N, T, C, H, W]` | uint8 counts of events, or float16 or float32: the input at each timestep |
| `labels` | `[N]` | whole numbers in 0…K-1 |
| `split` (optional) | `[N]` | 0 train, 1 policy, 2 calibration, 3 test; 0 and 3 alone: train is divided |
| `class_names` (optional) | `[K]` | strings; in a .safetensors, a JSON list in the metadata |

    save_frames("gestures.safetensors", frames, labels, class_names=("wave", "clap"))
    splits = load_dataset("frames", "gestures.safetensors")

A `.safetensors` is mapped, and may be larger than memory; an `.npz` is read.

Letters: N samples, T timesteps, C channels (of events: 0 off, 1 on), H × W pixels, K classes.
"""

import json
import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backbones.argument_checks import check_kinds
from backbones.array_files import format_of, map_arrays, texts, write_arrays
from backbones.atomic import open_atomic
from backbones.data.samples import SPLITS, Whole, check_timesteps
from backbones.errors import InputError, check_printable, printable, refusing
from backbones.tensors import as_array

FORMAT = "seenn_env.frames/1"
"""Format of `save_frames`, which is sealed; a file of another writer has none."""
DTYPES = ("uint8", "float16", "float32")
_STORED = {"labels": np.int64, "split": np.uint8}
_MOST_UNFOLDED = 100
"""Bytes that a byte of a compressed array may unfold to, where they are more than `_UNFOLDED`."""
_UNFOLDED, _DEFLATE = 1 << 30, 1032
"""Bytes; and those that a byte of DEFLATE unfolds to, at most."""


@check_kinds
def save_frames(
    path: str | Path,
    frames: Sequence[Any] | np.ndarray,
    labels: Sequence[Any] | np.ndarray,
    *,
    split: Sequence[Any] | np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Write a frames file of the type of its name, atomically; an `InputError` for what `read_frames` refuses."""
    path = Path(path)
    given = {"frames": frames, "labels": labels, "split": split}
    arrays = {name: as_array(values, name) for name, values in given.items() if values is not None}
    names = None if class_names is None else [str(name) for name in class_names]
    _whole(path, arrays, names)
    arrays = {name: np.ascontiguousarray(array, _STORED.get(name)) for name, array in arrays.items()}
    if path.suffix == ".npz":
        with open_atomic(path) as file:
            np.savez(file, **arrays, **({} if names is None else {"class_names": np.array(names)}))  # type: ignore[arg-type]
    elif path.suffix == ".safetensors":
        metadata = {"format": FORMAT} if names is None else {"format": FORMAT, "class_names": json.dumps(names)}
        write_arrays(path, arrays, metadata)
    else:
        raise InputError(f"Expected a file of frames to be called .npz or .safetensors, got {path.name}.")
    return path


@check_kinds
def read_frames(path: Path, timesteps: int | None = None) -> Whole:
    """The frames, labels and splits of a file, of any T or the expected one; an `InputError` for a missing or damaged
    file, arrays of other shapes, a class without frames, or another T.
    """
    if not os.path.isfile(path):
        raise InputError(f"Expected a file of frames (.npz or .safetensors), found none at {path}.")
    with refusing(f"Expected a file of frames that is whole, got {path}", advice=" Make it anew."):
        if path.suffix == ".npz":
            arrays, names = _read_npz(path)
        elif path.suffix == ".safetensors":
            arrays, metadata, seal = map_arrays(path, kind="a file of frames")
            if metadata.get("format", "").startswith("seenn_env.") and (metadata["format"] != FORMAT or seal is None):
                raise InputError(
                    f"Expected a sealed file of frames ({FORMAT}), got {format_of(metadata)} in {path}: use another."
                )
            names = texts(json.loads(metadata["class_names"]), "class_names") if "class_names" in metadata else None
        else:
            raise InputError(f"Expected a file of frames to be called .npz or .safetensors, got {path.name}.")
    whole = _whole(path, arrays, names)
    check_timesteps(whole.images.shape[1], timesteps, str(path))
    return whole


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], list[str] | None]:
    _check_declared(path)
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in ("frames", "labels", "split") if name in file}
        names = texts(file["class_names"].tolist(), "class_names") if "class_names" in file else None
    return arrays, names


def _check_declared(path: Path) -> None:
    """Refuse an .npz whose arrays are declared larger than their part of the file can unfold to."""
    with zipfile.ZipFile(path) as archive:
        if len(set(archive.namelist())) < len(archive.namelist()):
            raise ValueError("it has two arrays of one name")
        for member in archive.infolist():
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
                declared = file.tell() + math.prod(shape) * dtype.itemsize
            most = max(_UNFOLDED, _MOST_UNFOLDED * member.compress_size)
            if not declared == member.file_size <= min(most, _DEFLATE * (member.compress_size + 1)):
                raise ValueError(f"{member.filename} declares {declared} bytes; frames that large go in a .safetensors")


def _whole(path: Path, arrays: dict[str, np.ndarray], names: list[str] | None) -> Whole:
    for name in ("frames", "labels"):
        if name not in arrays:
            raise InputError(f"Expected arrays 'frames' and 'labels' in {path}, got no {name!r}.")
    frames, labels = arrays["frames"], arrays["labels"]
    N = labels.size
    if frames.ndim != 5 or labels.ndim != 1 or len(frames) != N or 0 in frames.shape:
        raise InputError(
            f"Expected frames [N, T, C, H, W] and labels [N] in {path}, got {list(frames.shape)} and "
            f"{list(labels.shape)}."
        )
    if frames.dtype.name not in DTYPES:
        raise InputError(f"Expected frames of uint8, float16 or float32 in {path}, got {frames.dtype}: convert them.")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or (names is not None and labels.max() >= len(names)):
        most = "" if names is None else f" below {len(names)}, the number of class_names,"
        raise InputError(f"Expected labels of whole numbers from 0{most} in {path}, got {_range(labels)}.")
    present = np.unique(labels)
    K = len(names) if names else max(2, int(present[-1]) + 1)
    if len(present) < K:
        missing = int(np.argmax(np.append(present, K) != np.arange(len(present) + 1)))
        missing_name = repr(names[missing] if names else str(missing))
        raise InputError(f"Expected frames of every class, found none of {missing_name} in {path}.")
    names = names or [str(k) for k in range(K)]
    check_printable(names, "class_names")
    codes = arrays.get("split")
    if codes is not None and not (
        codes.shape == (N,) and codes.dtype.kind in "iu" and 0 <= codes.min() <= codes.max() < len(SPLITS)
    ):
        raise InputError(
            f"Expected split [N] = [{N}] of codes 0…3 in {path}, got {list(codes.shape)} of {_range(codes)}."
        )
    return Whole(frames, labels.astype(np.int64), tuple(names), printable(path.stem), 5, codes)


def _range(values: np.ndarray) -> str:
    if not values.size or values.dtype.kind not in "iuf":
        return f"{list(values.shape)} of {values.dtype}"
    return f"{values.dtype} {values.min()}…{values.max()}"
