"""A framework's module as a `Backbone`: inputs, encoding, readout and rows, around its `Stepper`.

Letters: B rows, T timesteps, K classes, F features of the hidden layer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Never

import torch
from torch import Tensor, nn

from backbones.adapters.fingerprint import settings_of
from backbones.adapters.stepping import Memory, Stepper
from backbones.argument_checks import check_kinds
from backbones.contract.check import Rounding
from backbones.contract.inputs import as_tensor, channels_advice, check_images, check_rows, check_state, keys_of
from backbones.errors import InputError
from backbones.hashing import hash_json, hash_tensors
from backbones.hooks import hooked
from backbones.machine.devices import named_device
from backbones.networks.encodings import make_encoding
from backbones.state_tree import leaves_of, map_leaves


class AdaptedState(NamedTuple):
    """State of the rows between two timesteps."""

    source: Tensor
    """`[B, …]` the inputs, as floats."""
    keys: Tensor
    """`[B]` int64 names of the rows."""
    timestep: Tensor
    """`[B]` int64 timesteps done."""
    readout: Tensor
    """`[B, K]` sum of the outputs so far."""
    memory: Memory
    """A tree of `[B, …]`: the state of the framework's layers."""
    hidden: Tensor | None
    """`[B, F]` outputs of the hidden layer at the last timestep, averaged over space."""


class AdaptedBackbone:
    """A `Backbone` of a framework's module. Use `backbones.adapters.wrap` to make one.

    The module is not copied; its own state is restored after each call.

    Args:
        stepper: the module with explicit state.
        example: `[B, …]` inputs of the expected shape.
        timesteps: T.
        encoding: name of the encoding, and its seed.
        settings: further parts of the fingerprint.
    """

    def __init__(
        self,
        stepper: Stepper,
        example: Tensor,
        timesteps: int,
        encoding: tuple[str, int],
        settings: dict[str, str],
    ) -> None:
        self.stepper = stepper
        self.framework = stepper.framework
        self.timesteps = timesteps
        self.encoding = make_encoding(encoding[0], timesteps, encoding[1])
        self.input_shape = self.sample_shape = tuple(example.shape[1:])
        self.class_names: tuple[str, ...] = ()
        """`[K]`, where they are known; no part of the fingerprint."""
        self.rounding: Rounding | None = None
        """Result of `check_backbone`; None where it was not run."""
        self.elsewhere: Callable[[torch.device], AdaptedBackbone] | None = None
        """Makes the same backbone of a copy of the module on another device."""
        self._settings = [
            stepper.framework,
            timesteps,
            encoding,
            settings,
            settings_of(stepper.module),
            sorted(hash_tensors({"": leaf})[:32] for leaf in leaves_of(stepper.fresh)),
        ]
        self.num_classes = 0
        _, state = self.step(self.start(example))
        self.num_classes = state.readout.shape[1]

    def __repr__(self) -> str:
        kind = type(self.module).__name__
        return f"{type(self).__name__}({kind} of {self.framework}, T={self.timesteps}, K={self.num_classes})"

    @property
    def module(self) -> nn.Module:
        """The framework's module."""
        return self.stepper.module

    @property
    def device(self) -> torch.device:
        """Device of the module's weights."""
        return _first(self.stepper.module).device

    @property
    def fingerprint(self) -> str:
        """SHA-256 over classes, settings, reset values, weights, timesteps and encoding, 32 digits of it."""
        tensors = self.stepper.module.state_dict().items()
        weights = {name: each for name, each in tensors if name not in self.stepper.state_names}
        return hash_json([*self._settings, hash_tensors(weights)[:32]])[:32]

    @check_kinds
    def to(self, device: str | torch.device) -> "AdaptedBackbone":
        """This backbone on a device: itself, or one of a copy of the module; an `InputError` for a missing one."""
        place = named_device(str(device))
        if place.type == self.device.type and place.index in (None, self.device.index):
            return self
        if self.elsewhere is None:
            raise InputError(f"Expected a backbone that wrap made to move to {place}, got one made by hand.")
        return self.elsewhere(place)

    def optimize(self, **settings: Any) -> Never:
        """Raise an `InputError`: only networks of this package have a form for inference."""
        raise InputError(
            f"Expected a network of this package to optimize, got {type(self.module).__name__} of {self.framework}: a "
            "wrapped module runs as its framework has it, so fold its norms and compile it there."
        )

    @torch.no_grad()
    def start(self, inputs: Tensor, keys: Tensor | None = None) -> AdaptedState:
        """The state before the first timestep. See `Backbone.start`.

        An `InputError` for inputs of another shape or form (see `images.check_images`), or a module in training mode.
        """
        refuse_training(self.stepper.module)
        inputs = as_tensor(inputs, "inputs")
        check_images(inputs, self.encoding, what="inputs")
        source, keys = self._prepare(inputs, keys)
        B = len(source)
        memory = map_leaves(lambda row: _rows(row, B, self.device), self.stepper.fresh)
        readout = torch.zeros(B, self.num_classes, device=self.device)
        return AdaptedState(source, keys, torch.zeros_like(keys), readout, memory, None)

    @torch.no_grad()
    def step(self, state: AdaptedState) -> tuple[Tensor, AdaptedState]:
        """One timestep for every row. See `Backbone.step`."""
        check_state(state, AdaptedState, self)
        timestep = state.timestep + 1
        inputs = self.encoding(state.source, state.keys, timestep)
        with self._probing(len(inputs)) as probed:
            output, memory = self.stepper.step(inputs, state.memory)
        readout = state.readout + output if self.num_classes else output
        logits = readout / timestep[:, None]
        return logits, AdaptedState(state.source, state.keys, timestep, readout, memory, probed.get("hidden"))

    @torch.no_grad()
    def refill(self, state: AdaptedState, rows: Tensor, inputs: Tensor, keys: Tensor | None = None) -> AdaptedState:
        """Start rows from the framework's reset values; the others continue. See `Backbone.refill`."""
        check_state(state, AdaptedState, self)
        source, keys = self._prepare(as_tensor(inputs, "inputs"), keys)
        rows = check_rows(rows, len(state.keys), keys).to(self.device)
        R = len(source)

        def afresh(values: Tensor, row: Tensor) -> Tensor:
            return values.index_copy(0, rows, _rows(row, R, values.device))

        return state._replace(
            source=state.source.index_copy(0, rows, source),
            keys=state.keys.index_copy(0, rows, keys),
            timestep=state.timestep.index_fill(0, rows, 0),
            readout=state.readout.index_fill(0, rows, 0),
            memory=map_leaves(afresh, state.memory, self.stepper.fresh),
        )

    def _prepare(self, inputs: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
        if tuple(inputs.shape[1:]) != self.input_shape:
            advice = channels_advice(tuple(inputs.shape[1:]), self.input_shape)
            raise InputError(
                f"Expected inputs [B, {', '.join(map(str, self.input_shape))}], got {list(inputs.shape)}{advice}"
            )
        check_images(inputs, self.encoding, values=False, what="inputs")
        floats = as_floats(inputs, self.module, counts=self.encoding.frames)
        return floats, keys_of(keys, len(inputs)).to(self.device)

    @contextmanager
    def _probing(self, rows: int) -> Iterator[dict[str, Tensor]]:
        """A dictionary that is filled with probes while the module runs in the block."""
        yield {}


class ProbedBackbone(AdaptedBackbone):
    """An `AdaptedBackbone` that is `Probed`: it also gives the output of one layer, by its path, pooled over space."""

    def __init__(self, layer: str, *arguments: Any) -> None:
        self.layer = layer
        super().__init__(*arguments)

    def probe(self, state: AdaptedState) -> dict[str, Tensor]:
        """`{"hidden": [B, F]}` of a `step`'s state. See `Probed.probe`."""
        check_state(state, AdaptedState, self)
        if state.hidden is None:
            raise InputError("Expected the state of a step to probe, got one before the first timestep: step it.")
        return {"hidden": state.hidden}

    @contextmanager
    def _probing(self, rows: int) -> Iterator[dict[str, Tensor]]:
        probed: dict[str, Tensor] = {}

        def record(layer: nn.Module, arguments: Any, result: Any) -> None:
            probed["hidden"] = _pooled(result[0] if isinstance(result, tuple | list) else result, rows, self.layer)

        with hooked([self.module.get_submodule(self.layer)], record):
            yield probed
        if not probed:
            raise InputError(f"Expected a layer that runs in every timestep as hidden, got {self.layer!r}.")


def as_floats(inputs: Tensor, module: nn.Module, *, counts: bool) -> Tensor:
    """Inputs as floats of the module's dtype and device; uint8 becomes [0, 1], unless they are counts."""
    weights = _first(module)
    floats = inputs.to(weights.device, weights.dtype)
    return floats / 255 if inputs.dtype == torch.uint8 and not counts else floats


def refuse_training(module: nn.Module) -> None:
    """Raise an `InputError` where a part of the module is in training mode."""
    for path, part in module.named_modules():
        if part.training:
            where = f"its part {path!r}" if path else type(module).__name__
            raise InputError(f"Expected a frozen module, got {where} in training mode: call .eval() first.")


def _pooled(values: Tensor, rows: int, layer: str) -> Tensor:
    for axis in (0, 1):  # a time axis of length 1
        if values.dim() > 2 and values.shape[axis] == 1 and values.shape[1 - axis] == rows:
            values = values.squeeze(axis)
    if values.dim() < 2 or len(values) != rows:
        raise InputError(f"Expected outputs [{rows}, F, …] of the hidden layer {layer!r}, got {list(values.shape)}.")
    return values.flatten(2).mean(2) if values.dim() > 2 else values.clone()


def _rows(row: Tensor, rows: int, device: torch.device) -> Tensor:
    return row.to(device).expand(rows, *row.shape[1:]).clone()


def _first(module: nn.Module) -> Tensor:
    """A parameter or buffer with the module's device and dtype."""
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point():
            return tensor
    return torch.zeros(1)
