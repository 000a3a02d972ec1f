"""Safetensors files: written atomically and array by array, read by memory-mapping, checked to be whole.

The format's own library copies on reading and holds everything in memory on writing.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbones.argument_checks import check_kinds
from backbones.atomic import open_atomic
from backbones.errors import InputError

_BFLOAT16 = np.dtype("V2")
"""Two bytes: NumPy has no bfloat16."""
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
_CODES = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}
_KEY = "seenn_env"


@check_kinds
def save_tensor_file(path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> Path:
    """Write tensors and metadata (with a "format") atomically; equal content gives equal bytes."""
    arrays = {name: _array(tensor) for name, tensor in tensors.items()}
    write_arrays(path, arrays, {_KEY: json.dumps(metadata, sort_keys=True)})
    return Path(path)


@check_kinds
def load_tensor_file(path: str | Path, *, kind: str, format: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata.

    Args:
        path: the file.
        kind: its expected content in messages: "a policy".
        format: the expected "format" of its metadata.

    Raises:
        InputError: for a file that is missing, not whole, or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Expected {kind} file, found nothing at {path}.")
    arrays, metadata = map_arrays(path, kind=f"{kind} file")
    metadata = json.loads(metadata[_KEY]) if _KEY in metadata else metadata
    if metadata.get("format") != format:
        raise InputError(f"Expected {kind} file ({format}), got format {metadata.get('format')!r} in {path}.")
    return {name: _tensor(array) for name, array in arrays.items()}, metadata


def layout(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The table of a file's header: dtype, shape and offsets of each array, in the order of the file."""
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
    """Read-only, memory-mapped arrays of the file, and the metadata.

    Args:
        path: the file.
        kind: its expected content in messages: "a policy file".

    Raises:
        InputError: for a file that is not whole.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            begin = 8 + int.from_bytes(file.read(8), "little")
            table: dict[str, Any] = json.loads(file.read(begin - 8) if begin <= size else b"")
        metadata = table.pop("__metadata__", None) or {}
        arrays, end = {}, 0
        for name, entry in sorted(table.items(), key=lambda named: named[1]["data_offsets"]):
            dtype, shape, start = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"]), end
            end = start + math.prod(shape) * dtype.itemsize
            if entry["data_offsets"] != [start, end]:
                raise ValueError(f"{name!r} is out of place")
            arrays[name] = np.memmap(path, dtype, "r", begin + start, shape) if end > start else np.empty(shape, dtype)
        if begin + end != size:
            raise ValueError(f"{size} bytes, not {begin + end}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"Expected {kind}, but {path} is not whole ({error}): make it anew.") from error
    return arrays, metadata


def raw_bytes(array: np.ndarray) -> memoryview:
    """The bytes of any array, a view where it is contiguous."""
    raw: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memoryview(raw)


def _array(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.view(torch.int16).numpy().view(_BFLOAT16) if tensor.dtype == torch.bfloat16 else tensor.numpy()


def _tensor(array: np.ndarray) -> Tensor:
    own = np.array(array)  # torch takes no read-only memory
    if own.dtype == _BFLOAT16:
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)
