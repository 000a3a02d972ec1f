"""Networks on disk: weights as safetensors, the configuration in the file's metadata, never pickle."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from backbones.argument_checks import check_kinds
from backbones.array_files import texts
from backbones.contract.protocol import Backbone
from backbones.data.samples import checked_division
from backbones.errors import InputError, check_printable, damaged, refusing
from backbones.machine.devices import named_device
from backbones.networks.building import build
from backbones.networks.network import SpikingNetwork
from backbones.networks.stepped_network import plain_network
from backbones.packaged_files import BACKBONES, packaged_file
from backbones.tensor_files import check_weights, load_tensor_file, save_tensor_file

FORMAT, _UNSEALED = "seenn_env.backbone/2", "seenn_env.backbone/1"


@check_kinds
def save(
    backbone: Backbone,
    path: str | Path,
    *,
    division: Mapping[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
) -> None:
    """Write a network to one file, atomically.

    Args:
        backbone: the network.
        path: the file.
        division: `Splits.division` of its training data (default: its own); no part of the fingerprint.
        class_names: `[K]` names of the classes (default: its own); no part of the fingerprint.

    Raises:
        InputError: for a form for inference or a wrapped module, a division that is none, or names of other than K
            classes.
    """
    backbone = plain_network(backbone, "save")
    metadata = {"format": FORMAT, "config": json.dumps(backbone.config), "fingerprint": backbone.fingerprint}
    division = backbone.division if division is None else division
    if division:
        with refusing("Expected the division of a dataset (Splits.division)", errors=(TypeError, ValueError)):
            metadata["division"] = json.dumps(checked_division(dict(division)))
    names = backbone.class_names if class_names is None else tuple(class_names)
    if names:
        if len(names) != backbone.num_classes:
            raise InputError(f"Expected names of the network's {backbone.num_classes} classes, got {len(names)}.")
        names = tuple(map(str, names))
        check_printable(names, "class_names")
        metadata["class_names"] = json.dumps(names)
    save_tensor_file(path, backbone.state_dict(), metadata)


@check_kinds
def load(path: str | Path, *, device: str = "cpu") -> SpikingNetwork:
    """Read a network of `save`, in evaluation mode, with `division` (or None) and `class_names` (or none).

    Args:
        path: the file, or the name of a packaged backbone ("digits").
        device: of the network.

    Raises:
        InputError: for a file that is missing, is no backbone, or has been altered, or a missing device.
    """
    place, path = named_device(device), packaged_file(path, BACKBONES, "backbone")
    tensors, metadata = load_tensor_file(path, kind="a backbone", format=FORMAT, unsealed=_UNSEALED)
    with damaged("a backbone", path):
        config = json.loads(metadata["config"])
        options = config.pop("options")
        network = config.pop("network")
        with torch.device("meta"):  # no memory before the shapes are known to be the file's
            check_weights(build(network, **config, **options), tensors, f"the network {network!r} in {path}")
        fingerprint = metadata["fingerprint"]
        division = checked_division(json.loads(metadata["division"])) if "division" in metadata else None
        names = tuple(texts(json.loads(metadata.get("class_names", "[]")), "class_names"))
        if any((tensor < 0).any() for name, tensor in tensors.items() if name.endswith("running_var")):
            raise ValueError("a variance is negative")
    if len(names) not in (0, config["num_classes"]):
        raise InputError(
            f"Expected names of the {config['num_classes']} classes in {path}, got {len(names)}: the file was altered."
        )
    backbone = build(network, **config, **options)
    backbone.load_state_dict(tensors)
    if backbone.fingerprint != fingerprint:
        raise InputError(f"The weights in {path} do not match their fingerprint: the file was altered.")
    backbone.division, backbone.class_names = division, names
    return backbone.to(place)
