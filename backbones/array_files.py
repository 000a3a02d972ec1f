"""Arrays in safetensors files: written atomically, memory-mapped, refused in one sentence where they are not whole.

Any reader of the format opens the files. The format's own library copies on reading and holds everything in memory on
writing; this module maps and streams.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backbones.atomic import open_atomic
from backbones.errors import InputError

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


def layout(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The table of a file's header: where each array is, in the order of the file."""
    table, end = {}, 0
    for name, array in sorted(arrays.items(), key=lambda entry: (-entry[1].dtype.itemsize, entry[0])):
        begin, end = end, end + array.nbytes
        table[name] = {"dtype": _CODES[array.dtype], "shape": list(array.shape), "data_offsets": [begin, end]}
    return table


def write_arrays(path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write arrays and metadata atomically, array by array; equal content gives equal bytes."""
    table = layout(arrays)
    header = json.dumps({"__metadata__": metadata, **table}, sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with open_atomic(path) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for name in table:
            file.write(raw_bytes(arrays[name]))


def map_arrays(path: Path, *, kind: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read-only arrays in the file, not in memory, and the metadata; `kind` names it in messages: "a policy file".

    Raises:
        InputError: for a file that is not whole.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            begin = 8 + int.from_bytes(file.read(8), "little")
            table: dict[str, Any] = json.loads(file.read(begin - 8) if begin <= size else b"")
        metadata = table.pop("__metadata__", None) or {}
        if not all(isinstance(text, str) for text in metadata.values()):
            raise ValueError("metadata that is not text")
        content = np.memmap(path, np.uint8, "r")
        arrays, end = {}, 0
        for name, entry in sorted(table.items(), key=lambda named: named[1]["data_offsets"]):
            dtype, shape, start = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"]), end
            if len(shape) > _MOST_AXES or not all(type(side) is int and 0 <= side <= size for side in shape):
                raise ValueError(f"{name!r} of an impossible shape")
            end = start + math.prod(shape) * dtype.itemsize
            if entry["data_offsets"] != [start, end]:
                raise ValueError(f"{name!r} is out of place")
            if begin + end > size:
                raise ValueError(f"{size} bytes, not {begin + end}")
            arrays[name] = content[begin + start : begin + end].view(dtype).reshape(shape)
        if begin + end != size:
            raise ValueError(f"{size} bytes, not {begin + end}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"Expected {kind}, but {path} is not whole ({error}): make it anew.") from error
    return arrays, metadata


def raw_bytes(array: np.ndarray) -> memoryview:
    """The bytes of any array, a view where it is contiguous."""
    raw: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memoryview(raw)
