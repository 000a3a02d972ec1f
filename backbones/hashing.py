"""SHA-256 of bytes, settings and tensors, as 64 hexadecimal digits."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backbones.tensors import is_tensor


def hash_bytes(data: bytes | memoryview) -> str:
    """The digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path) -> str:
    """The digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_rows(*arrays: Any) -> str:
    """The digest of arrays `[N, …]`, of their dtypes and shapes, read a few rows at a time."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {tuple(array.shape)}".encode())
        row_bytes = math.prod(array.shape[1:]) * array.dtype.itemsize
        step = max(1, (1 << 24) // max(1, row_bytes))
        for begin in range(0, len(array), step):
            rows: Any = np.ascontiguousarray(array[begin : begin + step])
            digest.update(rows.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """The digest of a JSON-able value, independent of the order of keys; other values count by their text."""
    return hash_bytes(json.dumps(value, sort_keys=True, default=str).encode())


def hash_tensors(tensors: Mapping[str, Any], settings: Any = None) -> str:
    """The digest of tensors by name, with their dtypes and shapes, and of JSON-able settings where there are any.

    Counters of batches (`num_batches_tracked`), which change no output, and values that are no tensors do not count.
    """
    import torch  # not for `hash_bytes`, which files of arrays need

    digest = hashlib.sha256(b"" if settings is None else json.dumps(settings, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        if is_tensor(tensor) and not name.endswith("num_batches_tracked"):
            tensor = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
