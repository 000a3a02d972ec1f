"""Small safetensors files with metadata: written atomically, refused in one sentence where they are not whole."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from backbones.errors import InputError
from backbones.kinds import check_kinds

_KEY = "seenn_env"


@check_kinds
def save_tensor_file(path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> Path:
    """Write tensors and metadata, which has a "format", atomically; equal content gives equal bytes."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"Expected the name of a file to write, got a folder, {path}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        # One entry: the library writes several in an order of chance, and equal content should give equal bytes.
        safetensors.torch.save_file(own, temporary, {_KEY: json.dumps(metadata, sort_keys=True)})
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


@check_kinds
def load_tensor_file(path: str | Path, *, kind: str, format: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata.

    Args:
        path: the file.
        kind: what it should be, for messages: "a policy".
        format: what its metadata should say.

    Raises:
        InputError: for a file that is missing, not whole, or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Expected {kind} file, found nothing at {path}.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            metadata = json.loads(metadata[_KEY]) if _KEY in metadata else metadata
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise InputError(f"Expected {kind} file, but {path} is not whole ({error}): make it anew.") from error
    if metadata.get("format") != format:
        raise InputError(f"Expected {kind} file ({format}), got format {metadata.get('format')!r} in {path}.")
    return tensors, metadata
