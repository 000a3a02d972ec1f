"""Arrays in sealed safetensors files: written atomically, memory-mapped, refused in one sentence where damaged.

The seal is a digest of every chunk of every array, and one of the header with those digests. Any reader of the format
opens the files. The format's own library copies on reading and holds everything in memory on writing; this module maps
and streams.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backbones.atomic import open_atomic
from backbones.errors import InputError, counted
from backbones.hashing import hash_bytes

CHUNK_BYTES = 1 << 24
"""Bytes of a digest."""

METADATA_KEY = "seenn_env"
"""Of the metadata of a file of tensors, as JSON."""
BFLOAT16 = np.dtype("V2")
"""NumPy has none: two bytes."""
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "V2",
    "BOOL": "|b1",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
}
_MOST_AXES = 8
_CODES = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class Rows:
    """An array `shape` of a dtype whose rows are written one by one."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: Iterable[np.ndarray]

    @property
    def nbytes(self) -> int:
        """The size of all rows."""
        return math.prod(self.shape) * self.dtype.itemsize


def layout(arrays: Mapping[str, np.ndarray | Rows]) -> dict[str, Any]:
    """The table of a file's header: where each array is, in the order of the file."""
    table, end = {}, 0
    for name, array in sorted(arrays.items(), key=lambda entry: (-entry[1].dtype.itemsize, entry[0])):
        begin, end = end, end + array.nbytes
        table[name] = {"dtype": _CODES[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
    return table


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray | Rows], metadata: Mapping[str, str]) -> None:
    """Write arrays and metadata atomically and sealed, array by array; equal content gives equal bytes."""
    table = layout(arrays)
    digests = {name: ["0" * 64] * max(1, -(-array.nbytes // CHUNK_BYTES)) for name, array in arrays.items()}
    with open_atomic(path) as file:
        file.write(_header(metadata, digests, table))  # its size is that of the right one
        for name in table:
            array = arrays[name]
            parts = [array] if isinstance(array, np.ndarray) else array.rows
            digests[name] = list(_digests(_written(file, parts)))
        file.seek(0)
        file.write(_header(metadata, digests, table))


def _written(file: Any, parts: Iterable[np.ndarray]) -> Iterator[memoryview]:
    for part in parts:
        raw = raw_bytes(part)
        for begin in range(0, len(raw), CHUNK_BYTES):
            chunk = raw[begin : begin + CHUNK_BYTES]
            file.write(chunk)
            yield chunk


def _digests(pieces: Iterable[memoryview]) -> Iterator[str]:
    """The digest of every `CHUNK_BYTES` bytes of pieces of any size; one of no bytes."""
    digest, space, some = hashlib.sha256(), CHUNK_BYTES, False
    for piece in pieces:
        while len(piece) >= space:
            digest.update(piece[:space])
            yield digest.hexdigest()
            piece, some = piece[space:], True
            digest, space = hashlib.sha256(), CHUNK_BYTES
        digest.update(piece)
        space -= len(piece)
    if space < CHUNK_BYTES or not some:
        yield digest.hexdigest()


def _header(metadata: Mapping[str, str], digests: Mapping[str, list[str]], table: Mapping[str, Any]) -> bytes:
    sealed = {**metadata, "digests": _json(digests)}
    sealed["header_digest"] = _header_digest(sealed, table)
    header = _json({"__metadata__": sealed, **table}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


def _header_digest(sealed: Mapping[str, str], table: Mapping[str, Any]) -> str:
    return hash_bytes(_json([sealed, table]).encode())


class Seal:
    """The unchecked digests of a mapped file; each array is checked once."""

    def __init__(self, path: Path, arrays: Mapping[str, np.ndarray], digests: Mapping[str, list[str]]) -> None:
        self.path, self.digests = path, digests
        self.unchecked = dict(arrays)
        self.after: Callable[[], None] | None = None  # a check of values, once the bytes are right

    def check(self) -> None:
        """Check every array that is unchecked; an `InputError` for an altered array."""
        for name, array in list(self.unchecked.items()):
            raw = raw_bytes(array)
            for place, digest in enumerate(self.digests[name]):
                if hash_bytes(raw[place * CHUNK_BYTES : (place + 1) * CHUNK_BYTES]) != digest:
                    raise InputError(
                        f"The tensor {name!r} in {self.path} does not match its digest: the file was altered."
                    )
            del self.unchecked[name]
        if self.after is not None:
            self.after()
            self.after = None


def map_arrays(
    path: Path, *, kind: str, verify: bool = True
) -> tuple[dict[str, np.ndarray], dict[str, str], Seal | None]:
    """Read-only arrays in the file, not in memory, the metadata, and the seal (None in a file of another writer).

    `kind` is its name in messages: "a policy file". Without `verify`, only the digest of the header is checked, and
    those of the chunks by `seal.check()`. An `InputError` for a file that is not whole, or was altered.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            begin = 8 + int.from_bytes(file.read(8), "little")
            table: dict[str, Any] = json.loads(
                file.read(begin - 8) if begin <= size else b"", object_pairs_hook=_distinct
            )
        metadata: dict[str, str] = table.pop("__metadata__", None) or {}
        if not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("metadata that is not text")
        content = np.memmap(path, np.uint8, "r")
        arrays, end = {}, 0
        for name, entry in sorted(table.items(), key=lambda named: named[1]["data_offsets"]):
            dtype, shape, start = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"]), end
            if len(shape) > _MOST_AXES or not all(type(side) is int and 0 <= side <= size for side in shape):
                raise ValueError(f"{name!r} of an impossible shape")
            end = start + math.prod(shape) * dtype.itemsize
            if entry["data_offsets"] != [start, end] or begin + end > size:
                raise ValueError(f"{name!r} is out of place")
            arrays[name] = content[begin + start : begin + end].view(dtype).reshape(shape)
        if begin + end != size:
            raise ValueError(f"{counted(size, 'byte')}, not {begin + end}")
        seal = _seal(path, arrays, metadata, table)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Expected {kind}, but {path} is not whole ({error}): make it anew.") from error
    if seal is not None and verify:
        seal.check()
    return arrays, metadata, seal


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a `ValueError` for two values of one name, of which readers take one or the other."""
    if len(named := dict(pairs)) < len(pairs):
        raise ValueError("two of one name in the header")
    return named


def _seal(path: Path, arrays: dict[str, np.ndarray], metadata: dict[str, str], table: dict[str, Any]) -> Seal | None:
    """Take the seal out of the metadata, after checking the digest of the header."""
    digest = metadata.pop("header_digest", None)
    if digest is None and "digests" not in metadata:
        return None
    if _header_digest(metadata, table) != digest:
        raise InputError(f"The header of {path} does not match its digest: the file was altered. Make it anew.")
    digests = json.loads(metadata.pop("digests"))
    for name, array in arrays.items():
        if len(digests[name]) != max(1, -(-array.nbytes // CHUNK_BYTES)):
            raise ValueError(f"{counted(len(digests[name]), 'digest')} of {name!r}")
    return Seal(path, arrays, digests)


def format_of(metadata: dict[str, str]) -> str:
    """The format that the metadata of any safetensors file state, in words."""
    found = own_metadata(metadata).get("format")
    return "a safetensors file of another program" if found is None else f"format {found!r}"


def own_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """Our part of a file's metadata, or all of it; empty where it is not one of names and texts."""
    try:
        own = json.loads(metadata.get(METADATA_KEY, "null"))
    except (ValueError, RecursionError):
        return {}
    if own is None:
        return metadata
    return own if isinstance(own, dict) and all(isinstance(value, str) for value in own.values()) else {}


def texts(value: Any, name: str) -> list[str]:
    """A list of printable texts in JSON metadata; a `ValueError` for any other value of that name."""
    if not isinstance(value, list) or not all(isinstance(each, str) and each.isprintable() for each in value):
        raise ValueError(f"{name} that are not printable texts")
    return value


def raw_bytes(array: np.ndarray) -> memoryview:
    """The bytes of any array, a view where it is contiguous."""
    raw: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memoryview(raw)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
