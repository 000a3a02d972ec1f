"""A network's weights on the way home: bfloat16, in parts of at most 14 MiB, complete at any moment.

keep(network, folder, epoch=7, note={…})      # folder/state.json names the parts of epoch 7; older ones go after
network, state = restore(folder)
"""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import backbones as bb
from backbones import build
from backbones.atomic import write_atomic
from backbones.networks import SpikingNetwork
from backbones.tensor_files import load_tensor_file, save_tensor_file

FORMAT = "seenn_env.weights_part/1"
MOST = 14 << 20
"""Bytes of a part."""
STATE = "state.json"


def keep(network: SpikingNetwork, folder: Path, epoch: int, note: dict[str, Any]) -> None:
    """Write the weights; until `state.json` names them, `restore` reads the previous ones.

    Args:
        network: whose weights; those with more than one dimension are rounded.
        folder: for the parts.
        epoch: epochs done.
        note: JSON-able, to come back from `restore`.
    """
    parts: list[dict[str, Tensor]] = [{}]
    room = MOST
    for name, value in network.state_dict().items():
        value = value.detach().bfloat16() if name in _matrices(network) else value.detach()
        if value.nbytes > room:
            parts.append({})
            room = MOST
        parts[-1][name] = value
        room -= value.nbytes
    files = [f"weights-{epoch:03d}-{number}.safetensors" for number in range(1, len(parts) + 1)]
    for file, tensors in zip(files, parts, strict=True):
        save_tensor_file(folder / file, tensors, {"format": FORMAT, "epoch": str(epoch)})
    write_json(folder / STATE, {"epoch": epoch, "files": files, "config": network.config, **note})
    for old in folder.glob("weights-*.safetensors"):
        if old.name not in files:
            old.unlink()


def restore(folder: Path, device: str = "cpu") -> tuple[SpikingNetwork, dict[str, Any]]:
    """The network in training precision, and its note.

    Raises:
        InputError: where there are no weights, or not all of them.
    """
    if not (folder / STATE).is_file():
        raise bb.InputError(f"Expected the weights of an earlier run, found no {STATE} in {folder}.")
    state: dict[str, Any] = json.loads((folder / STATE).read_text())
    config = dict(state["config"])
    network = build(config.pop("network"), **config.pop("options"), **config)
    tensors: dict[str, Tensor] = {}
    for file in state["files"]:
        tensors |= load_tensor_file(folder / file, kind="a part of the weights", format=FORMAT)[0]
    network.load_state_dict(tensors)
    return network.to(device), state


@torch.no_grad()
def rounded(network: SpikingNetwork) -> SpikingNetwork:
    """A copy of the weights that `restore` will find: rounded, in training precision."""
    copied = copy.deepcopy(network)
    for name, weight in copied.named_parameters():
        if name in _matrices(network):
            weight.copy_(weight.bfloat16())
    return copied


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_atomic(path, json.dumps(value, indent=1) + "\n")


def _matrices(network: torch.nn.Module) -> set[str]:
    return {name for name, weight in network.named_parameters() if weight.dim() > 1}
