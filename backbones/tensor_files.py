"""Small safetensors files with metadata: written atomically, refused in one sentence where they are not whole."""

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from backbones.errors import InputError


def save_tensor_file(path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> Path:
    """Write tensors and metadata, which has a "format"; the file appears under its name only when it is whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    own = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        safetensors.torch.save_file(own, temporary, metadata)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


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
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise InputError(f"Expected {kind} file, but {path} is not whole ({error}): make it anew.") from error
    if metadata.get("format") != format:
        raise InputError(f"Expected {kind} file ({format}), got format {metadata.get('format')!r} in {path}.")
    return tensors, metadata
