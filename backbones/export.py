"""A network for deployment: its start and one timestep as ONNX, state in and state out.

    export_network(network, "deployed", num_slots=32)

`start.onnx` turns images into what their timesteps start from; `step.onnx` is one timestep of all B slots. A row
is refilled by writing its part of `start.onnx`'s output and its key into the state, 0 into its timestep and
readout, and by setting its `fresh`. `network.json` has the sizes.

Letters: B slots, T timesteps, K classes, C channels, H × W pixels.
"""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from backbones.errors import InputError
from backbones.network import SpikingNetwork, State

STATE = ("source", "keys", "timestep", "readout")
"""The state of `step.onnx`, which also has `fresh` and membrane_0, membrane_1, …."""


def export_network(network: SpikingNetwork, folder: str | Path, *, num_slots: int) -> Path:
    """Write `start.onnx`, `step.onnx` and `network.json`.

    start: `images [B, C, H, W]` float32 in [0, 1] → `source [B, …]`.
    step: source, `keys [B]` int64, `timestep [B]` int64 done so far, `readout [B, K]`, `fresh [B]` bool, membranes
    `[B, …]` → `logits [B, K]`, timestep, readout, membranes. A slot's first step has `fresh` set; its membranes
    then count for nothing. Inputs that the encoding does not need are left out.

    Args:
        network: a plain one.
        folder: where to; it is made.
        num_slots: B, fixed in the files.

    Raises:
        InputError: for a form for inference or a wrapped module, fewer slots than 1, or where the extra "onnx" is not
            installed.
    """
    if not isinstance(network, SpikingNetwork):
        raise InputError(
            f"Expected a network of this package to export, got {type(network).__name__}: export a wrapped module by "
            "its own framework."
        )
    if network.form != "plain":
        raise InputError(f"Expected a plain network to export, got the form {network.form!r}: export that instead.")
    if num_slots < 1:
        raise InputError(f"Expected num_slots ≥ 1, got {num_slots}.")
    folder = Path(folder)
    network = network.eval()
    images = torch.zeros(num_slots, *network.input_shape)
    keys = torch.zeros(num_slots, dtype=torch.int64)
    state = network.start(images, keys)
    _, after = network.step(state)
    fresh = torch.ones(num_slots, dtype=torch.bool)
    membranes = [f"membrane_{layer}" for layer in range(len(after.membranes))]
    export_module(_Start(network), (images,), folder / "start.onnx", ("images",), ("source",))
    export_module(
        _Step(network),
        (state.source, state.keys, state.timestep, state.readout, fresh, *after.membranes),
        folder / "step.onnx",
        (*STATE, "fresh", *membranes),
        ("logits", "timestep_after", "readout_after", *(f"{name}_after" for name in membranes)),
    )
    about = {
        "num_slots": num_slots,
        "timesteps": network.timesteps,
        "num_classes": network.num_classes,
        "input_shape": list(network.input_shape),
        "fingerprint": network.fingerprint,
        "membranes": {name: list(v.shape) for name, v in zip(membranes, after.membranes, strict=True)},
    }
    (folder / "network.json").write_text(json.dumps(about, indent=1) + "\n")
    return folder


def export_module(
    module: nn.Module, inputs: tuple[Tensor, ...], file: Path, names: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    """A module as ONNX, in one file.

    Raises:
        InputError: where the extra "onnx" is not installed.
    """
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise InputError(f"Expected the package {package} to export, found none: pip install 'seenn-env[onnx]'.")
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            inputs,
            dynamo=True,
            input_names=list(names),
            output_names=list(outputs),
            external_data=False,
            verbose=False,
        )
        assert program is not None
        program.save(temporary)
    temporary.replace(file)


class _Start(nn.Module):
    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network._begin(images, None)[0]  # `start` without its look at the values


class _Step(nn.Module):
    def __init__(self, network: SpikingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, source: Tensor, keys: Tensor, timestep: Tensor, readout: Tensor, fresh: Tensor, *membranes: Tensor
    ) -> tuple[Tensor, ...]:
        state = State(source, keys, timestep, readout, None, membranes, fresh)
        logits, after = self.network.step(state)
        return logits, after.timestep, after.readout, *after.membranes


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says about itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
