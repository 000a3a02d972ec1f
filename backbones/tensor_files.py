"""Tensors and metadata in safetensors files, which `array_files` writes and maps."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from backbones.argument_checks import check_kinds
from backbones.array_files import BFLOAT16, map_arrays, write_arrays
from backbones.errors import InputError, damaged

_KEY = "seenn_env"


@check_kinds
def save_tensor_file(path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> Path:
    """Write tensors and metadata (with a "format") atomically; equal content gives equal bytes."""
    refuse_nan(tensors, f"to write to {path}")
    arrays = {name: _array(tensor) for name, tensor in tensors.items()}
    write_arrays(path, arrays, {_KEY: json.dumps(metadata, sort_keys=True)})
    return Path(path)


@check_kinds
def load_tensor_file(path: str | Path, *, kind: str, format: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and metadata of a file of that "format"; `kind` is its expected content in messages: "a policy".

    Raises:
        InputError: for a file that is missing, not whole, or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Expected {kind} file, found nothing at {path}.")
    arrays, metadata = map_arrays(path, kind=f"{kind} file")
    with damaged(kind, path):
        metadata = dict(json.loads(metadata[_KEY])) if _KEY in metadata else metadata
    if metadata.get("format") != format:
        raise InputError(f"Expected {kind} file ({format}), got format {metadata.get('format')!r} in {path}.")
    tensors = {name: _tensor(array) for name, array in arrays.items()}
    refuse_nan(tensors, f"in {path}")
    return tensors, metadata


def refuse_nan(tensors: Mapping[str, Tensor], place: str) -> None:
    """Refuse tensors with NaN or infinity; `place` says where they are."""
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(
                f"Expected finite numbers {place}, got NaN or infinity in {name!r}: the training diverged, or a "
                "file was altered."
            )


def _array(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.view(torch.int16).numpy().view(BFLOAT16) if tensor.dtype == torch.bfloat16 else tensor.numpy()


def _tensor(array: np.ndarray) -> Tensor:
    own = np.array(array)  # torch takes no read-only memory
    if own.dtype == BFLOAT16:
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)
