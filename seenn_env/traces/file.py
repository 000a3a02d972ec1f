"""The file format of traces: safetensors, written atomically, memory-mapped, with a digest of every chunk."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backbones import InputError
from backbones.array_files import layout, map_arrays, raw_bytes, write_arrays
from backbones.errors import damaged
from backbones.hashing import hash_bytes
from seenn_env import arrays

FORMAT = "seenn_env.traces/1"


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able `info` to `path`; equal content gives equal bytes.

    The file appears under its name when it is complete.
    """
    digests = {name: [hash_bytes(chunk) for chunk in _chunks(tensor)] for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "info": _json(info), "digests": _json(digests)}
    metadata["header_digest"] = _header_digest(metadata, tensors)
    write_arrays(path, tensors, metadata)


class Seal:
    """The unchecked digests of a mapped file; each tensor is checked once."""

    def __init__(self, path: Path, tensors: Mapping[str, np.ndarray], digests: Mapping[str, list[str]]) -> None:
        self.path, self.digests = path, digests
        self.unchecked = dict(tensors)

    def check(self) -> None:
        """Check every tensor that is unchecked.

        Raises:
            InputError: for an altered tensor.
        """
        for name, tensor in list(self.unchecked.items()):
            for chunk, digest in zip(_chunks(tensor), self.digests[name], strict=True):
                if hash_bytes(chunk) != digest:
                    raise InputError(
                        f"The tensor {name!r} in {self.path} does not match its digest: the file was altered."
                    )
            del self.unchecked[name]


def map_tensors(path: Path, *, verify: bool | None = None) -> dict[str, Any]:
    """The tensors of a file that `write_tensors` wrote, read-only and not in memory; its "info", "path" and "seal".

    Args:
        path: the file.
        verify: check the digest of every chunk now; by default for files up to `arrays.LARGE_BYTES` bytes. Of
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
    with damaged("a traces", path):
        digests, info = dict(json.loads(metadata["digests"])), dict(json.loads(metadata["info"]))
        for name, tensor in tensors.items():
            if len(digests[name]) != len(list(_chunks(tensor))):
                raise InputError(f"Expected a digest of every chunk of {name!r} in {path}, got {len(digests[name])}.")
    seal = Seal(path, tensors, digests)
    if path.stat().st_size <= arrays.LARGE_BYTES if verify is None else verify:
        seal.check()
    return {**tensors, "info": info, "path": path, "seal": seal}


def _chunks(array: np.ndarray) -> Iterator[memoryview]:
    raw = raw_bytes(array)
    for begin in range(0, max(1, len(raw)), arrays.CHUNK_BYTES):
        yield raw[begin : begin + arrays.CHUNK_BYTES]


def _header_digest(metadata: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> str:
    covered = {key: value for key, value in metadata.items() if key != "header_digest"}
    return hash_bytes(_json([covered, layout(tensors)]).encode())


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
