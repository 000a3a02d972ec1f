"""Tensors in one safetensors file: written atomically, memory-mapped, with a digest over every chunk."""

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbones import InputError
from backbones.hashing import hash_bytes
from backbones.tensor_files import layout, map_arrays, raw_bytes, write_arrays

FORMAT = "seenn_env.traces/1"
CHUNK_BYTES = 1 << 24
VERIFY_AT_ONCE = 1 << 30
"""Files up to this many bytes have every chunk checked when they are opened."""


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able `info` to `path`; equal content gives equal bytes.

    The file appears under its name only when it is whole.
    """
    digests = {name: [hash_bytes(chunk) for chunk in _chunks(tensor)] for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "info": _json(info), "digests": _json(digests)}
    metadata["header_digest"] = _header_digest(metadata, tensors)
    write_arrays(path, tensors, metadata)


class Seal:
    """The digests of a mapped file's tensors, checked at most once, when `check` is first called."""

    def __init__(self, path: Path, tensors: Mapping[str, np.ndarray], digests: Mapping[str, list[str]]) -> None:
        self.path, self.digests = path, digests
        self.unchecked = dict(tensors)

    def check(self) -> None:
        """Read every chunk that has not been read yet.

        Raises:
            InputError: for a tensor that was altered.
        """
        for name, tensor in list(self.unchecked.items()):
            for chunk, digest in zip(_chunks(tensor), self.digests[name], strict=True):
                if hash_bytes(chunk) != digest:
                    raise InputError(
                        f"The tensor {name!r} in {self.path} does not match its digest: the file was altered."
                    )
            del self.unchecked[name]


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def large_array(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array to fill: in memory, or beyond `VERIFY_AT_ONCE` bytes in a temporary file that goes with it."""
    if math.prod(shape) * np.dtype(dtype).itemsize <= VERIFY_AT_ONCE:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.asarray(np.memmap(file, dtype, "w+", shape=shape))


def row_chunks(array: np.ndarray) -> Iterator[slice]:
    """Rows of `array` `[N, …]`, some `CHUNK_BYTES` at a time."""
    N, step = len(array), max(1, CHUNK_BYTES * len(array) // max(1, array.nbytes))
    for begin in range(0, N, step):
        yield slice(begin, min(begin + step, N))


def take_rows(array: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
    """Those rows of `array` `[N, …]`: a view for a slice of neighbours, else a `large_array`."""
    if isinstance(rows, slice):
        if rows.step in (None, 1):
            return array[rows]
        rows = np.arange(len(array))[rows]
    if rows.dtype == np.bool_:
        if rows.shape != (len(array),):
            raise InputError(f"Expected a mask of {len(array)} rows, got {list(rows.shape)}.")
        rows = np.flatnonzero(rows)
    taken = large_array((len(rows), *array.shape[1:]), array.dtype)
    for part in row_chunks(taken):
        taken[part] = array[rows[part]]
    return taken


def join_rows(parts: Sequence[np.ndarray]) -> np.ndarray:
    """`[N₁ + N₂ + …, …]` all rows of arrays of one dtype, as a `large_array`."""
    joined = large_array((sum(len(part) for part in parts), *parts[0].shape[1:]), np.result_type(*parts))
    return np.concatenate(parts, out=joined)


@dataclass(frozen=True)
class MappedFile:
    """A file that `write_tensors` wrote."""

    tensors: dict[str, np.ndarray]
    """Read-only arrays in the file, not in memory."""
    info: dict[str, Any]
    """What was written with them."""
    seal: Seal
    """What is left to check."""


def map_tensors(path: Path, *, verify: bool | None = None) -> MappedFile:
    """Map a file that `write_tensors` wrote.

    Args:
        path: the file.
        verify: check the digest of every chunk now; by default for files up to `VERIFY_AT_ONCE` bytes. Of
            larger ones, `seal.check()` does it.

    Raises:
        InputError: for a file that is missing, of another format, truncated or altered.
    """
    if not path.is_file():
        raise InputError(f"Expected a traces file, found nothing at {path}. `seenn record` makes one.")
    tensors, metadata = map_arrays(path, kind="a traces file")
    if metadata.get("format") != FORMAT:
        raise InputError(f"Expected a traces file ({FORMAT}), got format {metadata.get('format')!r} in {path}.")
    if _header_digest(metadata, tensors) != metadata.get("header_digest"):
        raise InputError(f"The header of {path} does not match its digest: the file was altered. Record it anew.")
    seal = Seal(path, tensors, json.loads(metadata["digests"]))
    if path.stat().st_size <= VERIFY_AT_ONCE if verify is None else verify:
        seal.check()
    return MappedFile(tensors, json.loads(metadata["info"]), seal)


def _chunks(array: np.ndarray) -> Iterator[memoryview]:
    raw = raw_bytes(array)
    for begin in range(0, max(1, len(raw)), CHUNK_BYTES):
        yield raw[begin : begin + CHUNK_BYTES]


def _header_digest(metadata: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> str:
    covered = {key: value for key, value in metadata.items() if key != "header_digest"}
    return hash_bytes(_json([covered, layout(tensors)]).encode())


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
