"""Tensors and metadata in safetensors files, which `array_files` writes, seals and maps."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from backbones.argument_checks import check_kinds
from backbones.array_files import BFLOAT16, METADATA_KEY, format_of, map_arrays, own_metadata, write_arrays
from backbones.errors import InputError, no_file


@check_kinds
def save_tensor_file(path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> Path:
    """Write tensors and metadata (with a "format") atomically; equal content gives equal bytes. An `InputError` for NaN
    or infinity.
    """
    refuse_nan(tensors, f"to write to {path}")
    arrays = {name: _array(tensor) for name, tensor in tensors.items()}
    write_arrays(path, arrays, {METADATA_KEY: json.dumps(metadata, sort_keys=True)})
    return Path(path)


@check_kinds
def load_tensor_file(
    path: str | Path, *, kind: str, format: str, unsealed: str | None = None
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and metadata of a file of that "format", or of an older one without digests, `unsealed`.

    `kind` is its expected content in messages: "a policy". An `InputError` for a file that is missing, not whole,
    altered, of another format, or with NaN or infinity.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise no_file(f"{kind} file", path)
    arrays, metadata, seal = map_arrays(path, kind=f"{kind} file")
    metadata = own_metadata(metadata)
    if metadata.get("format") not in (format, unsealed) or metadata.get("format") is None:
        raise InputError(f"Expected {kind} file ({format}), got {format_of(metadata)} in {path}.")
    if seal is None and metadata["format"] != unsealed:
        raise InputError(f"Expected digests in {kind} file ({format}), found none in {path}: it was altered.")
    tensors = {name: _tensor(array) for name, array in arrays.items()}
    refuse_nan(tensors, f"in {path}")
    return tensors, metadata


def check_weights(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Raise an `InputError` for tensors that differ from those of a module, with that name, by name, shape or dtype."""
    own = module.state_dict()
    odd = [each for each in sorted(own.keys() | tensors.keys()) if _form(own, each) != _form(tensors, each)]
    if odd:
        raise InputError(
            f"Expected the weights of {name}, got another network's: {odd[0]} is "
            f"{_form(tensors, odd[0])}, not {_form(own, odd[0])}, and so on ({len(odd)} in all): use the file that was "
            "saved with it."
        )


def _form(tensors: Mapping[str, Tensor], name: str) -> str:
    if name not in tensors:
        return "missing"
    dtype = tensors[name].dtype
    return f"{list(tensors[name].shape)}" + (f" of {dtype}" if dtype != torch.float32 else "")


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
