"""The file format of traces: sealed safetensors, memory-mapped."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backbones import InputError
from backbones.array_files import format_of, map_arrays, write_arrays
from backbones.errors import damaged, no_file
from seenn_env import arrays

FORMAT = "seenn_env.traces/1"


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able `info` to `path`; equal content gives equal bytes.

    The file appears under its name when it is complete.
    """
    write_arrays(path, tensors, {"format": FORMAT, "info": json.dumps(info, sort_keys=True, separators=(",", ":"))})


def map_tensors(path: Path, *, verify: bool | None = None) -> dict[str, Any]:
    """The tensors of a file that `write_tensors` wrote, read-only and not in memory; its "info", "path" and "seal".

    The digest of every chunk is checked now with `verify`, by default for files up to `arrays.LARGE_BYTES` bytes; of
    larger ones, `seal.check()` does it. An `InputError` for a file that is missing, of another format, truncated or
    altered.
    """
    if not os.path.isfile(path):  # of a name that is too long, `is_file` raises
        raise no_file("a traces file", path, " `seenn record` makes one.")
    now = path.stat().st_size <= arrays.LARGE_BYTES if verify is None else verify
    tensors, metadata, seal = map_arrays(path, kind="a traces file", verify=now)
    if metadata.get("format") != FORMAT:
        raise InputError(f"Expected a traces file ({FORMAT}), got {format_of(metadata)} in {path}.")
    if seal is None:
        raise InputError(f"Expected digests in a traces file ({FORMAT}), found none in {path}: it was altered.")
    with damaged("a traces", path):
        info = dict(json.loads(metadata["info"]))
    return {**tensors, "info": info, "path": path, "seal": seal}
