"""Networks on disk: weights as safetensors, the configuration in the file's metadata, never pickle."""

import json
import os
from pathlib import Path

import safetensors
import safetensors.torch

from backbones.building import build
from backbones.errors import InputError
from backbones.network import SpikingNetwork

FORMAT = "seenn_env.backbone/1"


def save(backbone: SpikingNetwork, path: str | Path) -> None:
    """Write a network to one file, atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "format": FORMAT,
        "config": json.dumps(backbone.config),
        "fingerprint": backbone.fingerprint,
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in backbone.state_dict().items()}
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        safetensors.torch.save_file(tensors, temporary, metadata)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | Path, *, device: str = "cpu") -> SpikingNetwork:
    """Read a network that `save` wrote, in evaluation mode.

    Raises:
        InputError: for a file that is missing, is no backbone, or has been altered.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Expected a backbone file, found nothing at {path}.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise InputError(f"Expected a backbone file, but {path} is not whole ({error}): make it anew.") from error
    if metadata.get("format") != FORMAT:
        raise InputError(f"Expected a backbone file ({FORMAT}), got format {metadata.get('format')!r} in {path}.")
    config = json.loads(metadata["config"])
    options = config.pop("options")
    backbone = build(config.pop("network"), **config, **options)
    try:
        backbone.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"The weights in {path} do not fit their configuration: {error}") from error
    if backbone.fingerprint != metadata["fingerprint"]:
        raise InputError(f"The weights in {path} do not match their fingerprint: the file was altered.")
    return backbone.to(device)
