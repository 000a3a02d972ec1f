"""Export of a network as ONNX: its start and one timestep, with explicit state.

    export_network(network, "deployed", num_slots=32)

`start.onnx` computes the sources of images; `step.onnx` is one timestep of all B slots. A slot is refilled by writing
its source and its key into the state, 0 into its timestep and readout, and by setting its `fresh`. `network.json` has
the sizes.

Letters: B slots, T timesteps, K classes, C channels, H × W pixels.
"""

import copy
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from backbones.argument_checks import Positive, check_kinds
from backbones.atomic import write_atomic
from backbones.contract.protocol import Backbone
from backbones.errors import InputError, refusing
from backbones.networks.neurons.neuron import LIF
from backbones.networks.stepped_network import State, SteppedNetwork, plain_network

STATE = ("source", "keys", "timestep", "readout")
"""State of `step.onnx`, beside `fresh` and membrane_0, membrane_1, …."""

Run = Callable[[dict[str, Tensor]], list[Tensor]]
"""Outputs of a model for inputs by name; inputs that it does not have are ignored."""

_ROWS = 16
"""Fewest rows on which files are tested."""


def export_network(network: Backbone, folder: str | Path, *, num_slots: int) -> Path:
    """Write `start.onnx`, `step.onnx` and `network.json`, after comparing them with the network.

    start: `images [B, C, H, W]` float32 in [0, 1] (of the encoding "event" `[B, T, C, H, W]` frames) → `source [B, …]`.
    step: source, `keys [B]` int64, `timestep [B]` int64 so far, `readout [B, K]`, `fresh [B]` bool, membranes
    `[B, …]` → `logits [B, K]`, timestep, readout, membranes. A slot's first step has `fresh` set and ignores its
    membranes. Inputs that the encoding does not need are missing.

    Args:
        network: a plain network.
        folder: for the files.
        num_slots: B, fixed in the files.

    Raises:
        InputError: for anything but a plain network of `build` or `convert`, fewer slots than 1, a network that
            torch cannot export or whose files compute something else, or where the extra "onnx" is not installed.
    """
    return write_files(network_files(network, num_slots), folder)


@check_kinds
def network_files(network: Backbone, num_slots: Positive) -> dict[str, bytes]:
    """The content of `export_network`'s files by name."""
    network = plain_network(network, "export")
    fingerprint = network.fingerprint
    network = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    images = torch.zeros(num_slots, *network.sample_shape)
    keys = torch.zeros(num_slots, dtype=torch.int64)
    state = network.start(images, keys)
    _, after = network.step(state)
    fresh = torch.ones(num_slots, dtype=torch.bool)
    membranes = [f"membrane_{layer}" for layer in range(len(after.membranes))]
    start = to_onnx(_Start(network), (images,), ("images",), ("source",))
    step = to_onnx(
        _Step(network),
        (state.source, state.keys, state.timestep, state.readout, fresh, *after.membranes),
        (*STATE, "fresh", *membranes),
        ("logits", "timestep_after", "readout_after", *(f"{name}_after" for name in membranes)),
    )
    check_files(network, num_slots, runner(start), runner(step))
    about = {
        "num_slots": num_slots,
        "timesteps": network.timesteps,
        "num_classes": network.num_classes,
        "input_shape": list(network.sample_shape),
        "fingerprint": fingerprint,
        "membranes": {name: list(v.shape) for name, v in zip(membranes, after.membranes, strict=True)},
    }
    return {"start.onnx": start, "step.onnx": step, "network.json": (json.dumps(about, indent=1) + "\n").encode()}


def write_files(files: dict[str, bytes], folder: str | Path) -> Path:
    """Write files by name atomically; returns the folder, which is made."""
    for name, content in files.items():
        write_atomic(Path(folder) / name, content)
    return Path(folder)


def to_onnx(module: nn.Module, inputs: tuple[Tensor, ...], names: tuple[str, ...], outputs: tuple[str, ...]) -> bytes:
    """A module as ONNX; an `InputError` where the extra "onnx" is not installed, or torch cannot export the module."""
    for package in ("onnx", "onnxruntime", "onnxscript"):
        if find_spec(package) is None:
            raise InputError(f"Expected the package {package} to export, found none: pip install 'seenn-env[onnx]'.")
    with _quiet(), refusing("Expected layers that torch.onnx can export"):
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
    return program.model_proto.SerializeToString()


def runner(model: bytes) -> Run:
    """A function that runs a model under onnxruntime; both raise an `InputError` for a model that cannot be run."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with refusing("Expected layers that onnxruntime can run"):
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = {each.name for each in session.get_inputs()}

    def run(values: dict[str, Tensor]) -> list[Tensor]:
        inputs = {name: value.numpy() for name, value in values.items() if name in names}
        with refusing("Expected layers that can be run"):
            return [torch.as_tensor(np.asarray(output)) for output in session.run(None, inputs)]

    return run


@torch.no_grad()
def check_files(network: SteppedNetwork, num_slots: int, start: Run, step: Run) -> None:
    """Refuse models of `start.onnx` and `step.onnx` that compute something else than the network.

    Single steps are compared, each from the network's own state: of fresh slots, the step after it, and random
    potentials (so that every layer spikes) at all timesteps. A rounding can flip a spike: files may differ as much as
    the network changes when its state changes by a millionth.
    """
    generator = torch.Generator().manual_seed(0)
    compared: dict[str, list[tuple[Tensor, ...]]] = {}
    for _ in range(-(-_ROWS // num_slots)):
        images = torch.rand(num_slots, *network.sample_shape, generator=generator)
        images *= torch.rand(num_slots, *[1] * (images.dim() - 1), generator=generator)
        keys = torch.randint(1 << 40, (num_slots,), generator=generator)
        state = network.start(images, keys)
        compared.setdefault("source", []).append((state.source, start({"images": images})[0], state.source))
        at_random = _random_membranes(network, state, generator)
        for case in ("first timestep", "timestep after", "timestep of other potentials"):
            if case == "first timestep":
                state = state._replace(membranes=at_random, fresh=torch.ones(num_slots, dtype=torch.bool))
            elif case != "timestep after":
                when = torch.randint(network.timesteps, (num_slots,), generator=generator)
                state = state._replace(membranes=at_random, timestep=when)
            logits, after = network.step(state)
            almost = network.step(
                state._replace(
                    source=_almost(state.source, generator),
                    membranes=tuple(_almost(v, generator) for v in state.membranes),
                )
            )
            fresh = torch.zeros(num_slots, dtype=torch.bool) if state.fresh is None else state.fresh
            inputs = {name: getattr(state, name) for name in STATE} | {"fresh": fresh}
            inputs |= {f"membrane_{layer}": v for layer, v in enumerate(state.membranes)}
            outputs = (logits, after.timestep, after.readout, *after.membranes)
            changed = (almost[0], almost[1].timestep, almost[1].readout, *almost[1].membranes)
            for place, three in enumerate(zip(outputs, step(inputs), changed, strict=True)):
                compared.setdefault(f"{case}, output {place}", []).append(three)
            state = after
    for name, parts in compared.items():
        wanted, got, noisy = (torch.cat([_by_row(part[place]) for part in parts]) for place in range(3))
        if got.shape != wanted.shape or not _gap(wanted, got) <= 1e-4 + 10 * _gap(wanted, noisy):
            raise InputError(
                f"Expected ONNX files that compute what the network does, got others ({name}): one of its layers is "
                "exported wrongly, put another in its place."
            )


def _by_row(values: Tensor) -> Tensor:
    """`[rows, …]` float64."""
    return values.double().reshape(len(values), -1)


def _gap(wanted: Tensor, got: Tensor) -> float:
    """The median over rows of the mean difference of `[rows, …]`, in parts of the mean value."""
    return float((got - wanted).abs().mean(1).median() / wanted.abs().mean().clamp(min=1e-6))


def _almost(values: Tensor, generator: torch.Generator) -> Tensor:
    """Values that differ by about a millionth."""
    return values * (1 + 1e-6 * torch.randn(values.shape, generator=generator))


def _random_membranes(network: SteppedNetwork, state: State, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Potentials of 0 to 1½ thresholds, so that some neurons of every layer fire."""
    membranes: list[Tensor] = []

    def fire(neuron: LIF, current: Tensor) -> Tensor:
        membranes.append(torch.rand(current.shape, generator=generator) * 1.5 * neuron.v_threshold)
        return neuron(current, membranes[-1])[0]

    network.body(network.current(state.source, state.keys, state.timestep + 1), fire)
    return tuple(membranes)


class _Start(nn.Module):
    def __init__(self, network: SteppedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network._begin(images, None)[0]  # `start` without the check of values


class _Step(nn.Module):
    def __init__(self, network: SteppedNetwork) -> None:
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
    """Silence the exporter's messages."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
