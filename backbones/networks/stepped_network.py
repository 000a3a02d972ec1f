"""Stepping of a spiking network with explicit state: the base of its plain form and its forms for inference.

    state = network.start(images)
    logits, state = network.step(state)             # the running mean

A body is written without time: `body(current, fire)` calls `fire(neuron, current)` for each layer that spikes, and
`fire` keeps the membrane potentials.

Letters: B rows, T timesteps, K classes, F features of the last hidden layer.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from backbones.contract.inputs import as_tensor, channels_advice, check_images, check_rows, check_state, keys_of
from backbones.errors import InputError, counted
from backbones.hashing import hash_tensors
from backbones.networks.encodings import make_encoding
from backbones.networks.neurons.neuron import LIF
from backbones.networks.norms import PER_TIMESTEP, Clock, TimestepBatchNorm2d, TimestepScale

Fire = Callable[[LIF, Tensor], Tensor]
MakeNeuron = Callable[[], LIF]
Parts = tuple[nn.Module, nn.Module, nn.Module]
"""Stem, body and head."""


class State(NamedTuple):
    """State of the rows between two timesteps."""

    source: Tensor
    """`[B, …]` the stem's output where the encoding is static, else the input."""
    keys: Tensor
    """`[B]` int64 names of the rows."""
    timestep: Tensor
    """`[B]` int64 number of timesteps so far."""
    readout: Tensor
    """`[B, K]` sum of the outputs so far."""
    hidden: Tensor | None
    """`[B, F]` spikes of the last hidden layer at the last timestep, averaged over space."""
    membranes: tuple[Tensor, ...]
    """One `[B, …]` a spiking layer, in the order in which they fire; empty before the first timestep."""
    fresh: Tensor | None
    """`[B]` bool: rows that start from the neurons' initial potential at the next timestep."""


class StepFire:
    """A body's `fire` for one timestep: reads each layer's potential, and keeps the new one."""

    def __init__(self, membranes: Sequence[Tensor], fresh: Tensor | None) -> None:
        self.before = iter(membranes)
        self.after: list[Tensor] = []
        self.fresh = fresh
        self.last: tuple[Tensor, float] | None = None

    def __call__(self, neuron: LIF, current: Tensor) -> Tensor:
        """Spikes `[B, …]` of one layer; the calls of a network come in the order of its layers."""
        v = next(self.before, None)
        spikes, v = neuron(current, neuron.initial(current) if v is None else v, self.fresh)
        self.after.append(v)
        self.last = spikes, neuron.height
        return spikes

    def hidden(self) -> Tensor:
        """`[B, F]` spikes of the layer that fired last, averaged over space, each counted as 1."""
        assert self.last is not None
        spikes, height = self.last
        return pooled(spikes) / height


class SteppedNetwork(nn.Module):
    """A `Backbone` of a stateless stem, a spiking body and a linear readout.

    Inputs are `[B, C, H, W]`, uint8 or floats in [0, 1]; of the encoding "event", frames `[B, T, C, H, W]`. Use
    `backbones.build` to make one by name.

    Args:
        config: the arguments of `backbones.build`: JSON-able, saved with the weights.
        stem: image (or input spikes) to current; computed once an image where the encoding is static.
        body: `body(current, fire) -> [B, F, …]`, of the spikes of the last hidden layer.
        head: `[B, F, …]` to outputs `[B, K]`.
    """

    mean: Tensor
    std: Tensor
    division: dict[str, Any] | None = None
    """`Splits.division` of its training data, where it is known."""
    class_names: tuple[str, ...] = ()
    """`[K]` of its training data, where they are known; no part of the fingerprint."""

    def __init__(self, config: dict[str, Any], stem: nn.Module, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.timesteps: int = config["timesteps"]
        self.num_classes: int = config["num_classes"]
        self.input_shape = tuple(config["input_shape"])
        self.encoding = make_encoding(config["encoding"], self.timesteps, config["encoding_seed"])
        self.form = "plain"
        for name in ("mean", "std"):
            values = torch.from_numpy(np.full(self.input_shape[0], config[name], np.float32))
            self.register_buffer(name, values.view(-1, 1, 1))
        self.stem, self.body, self.head = stem, body, head
        self._clock = Clock()
        for module in self.modules():
            if isinstance(module, TimestepBatchNorm2d | TimestepScale):
                module.clock = self._clock

    def __repr__(self) -> str:
        """One line; `print(network.body)` shows the layers."""
        facts = f"{self.config['network']!r}, T={self.timesteps}, K={self.num_classes}, form={self.form!r}"
        return f"{type(self).__name__}({facts})"

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.mean.device

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one input: (C, H, W), or (T, C, H, W) of frames."""
        return (self.timesteps, *self.input_shape) if self.encoding.frames else self.input_shape

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of the SHA-256 over configuration, form and weights."""
        return hash_tensors(self.state_dict(), [self.config, self.form])[:32]

    @torch.no_grad()
    def start(self, inputs: Tensor, keys: Tensor | None = None) -> State:
        """The state before the first timestep. See `Backbone.start`.

        An `InputError` for inputs of another shape or form (see `images.check_images`), or a network in training mode.
        """
        inputs = as_tensor(inputs, "inputs")
        check_images(inputs, self.encoding, what="inputs")
        source, keys = self._begin(inputs, keys)
        readout = torch.zeros(len(keys), self.num_classes, device=self.device)
        return State(source, keys, torch.zeros_like(keys), readout, None, (), None)

    @torch.no_grad()
    def step(self, state: State) -> tuple[Tensor, State]:
        """One timestep for every row. See `Backbone.step`."""
        check_state(state, State, self)
        self._set_timesteps(state.timestep)
        timestep = state.timestep + 1
        fire = StepFire(state.membranes, state.fresh)
        spikes = self.body(self.current(state.source, state.keys, timestep), fire)
        readout = state.readout + self.head(spikes)
        logits = readout / timestep[:, None]
        return logits, State(state.source, state.keys, timestep, readout, fire.hidden(), tuple(fire.after), fresh=None)

    @torch.no_grad()
    def refill(self, state: State, rows: Tensor, inputs: Tensor, keys: Tensor | None = None) -> State:
        """Start rows afresh, and use up `state`; the others continue. See `Backbone.refill`.

        The inputs' shape and dtype are checked, not their values.
        """
        check_state(state, State, self)
        source, keys = self._begin(as_tensor(inputs, "inputs"), keys)
        rows = check_rows(rows, len(state.keys), keys).to(self.device)
        fresh = torch.zeros_like(state.keys, dtype=torch.bool) if state.fresh is None else state.fresh
        return state._replace(
            source=_put(state.source, rows, source),
            keys=state.keys.index_copy(0, rows, keys),
            timestep=state.timestep.index_fill(0, rows, 0),
            readout=state.readout.index_fill(0, rows, 0),
            fresh=fresh.index_fill(0, rows, True),
        )

    def probe(self, state: State) -> dict[str, Tensor]:
        """Spikes and potentials of the last hidden layer after a step. See `Probed.probe`."""
        check_state(state, State, self)
        if state.hidden is None:
            raise InputError("Expected the state of a step to probe, got one before the first timestep: step it.")
        return {"hidden": state.hidden, "membrane": pooled(state.membranes[-1])}

    def current(self, source: Tensor, keys: Tensor, timestep: Tensor) -> Tensor:
        """`[B, …]` the current of the first neurons at the rows' timesteps, from 1."""
        return source if self.encoding.static else self.stem(self.encoding(source, keys, timestep))

    def _begin(self, inputs: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
        """The source and the keys of new rows."""
        if self.training:
            raise InputError("Expected a frozen network to step, got one in training mode: call .eval() first.")
        inputs, keys = self._prepare(inputs, keys)
        self._set_timesteps(None)
        return self.stem(self.encoding(inputs, keys, keys)) if self.encoding.static else inputs, keys

    def _set_timesteps(self, when: Tensor | None, timesteps: int | None = None) -> None:
        """Set the timestep of each row, from 0 and at most T - 1, for norms with statistics per timestep."""
        if self.config["options"].get("norm") == PER_TIMESTEP:
            self._clock.set(None if when is None else when.clamp(max=self.timesteps - 1), timesteps)

    def normalised(self, inputs: Tensor) -> Tensor:
        """`[B, C, H, W]` uint8 or intensities in [0, 1], normalised by mean and standard deviation."""
        return (self._floats(inputs) - self.mean) / self.std

    def _floats(self, inputs: Tensor) -> Tensor:
        """In the network's precision; uint8 becomes [0, 1]."""
        floats = inputs.to(self.mean.dtype)
        return floats / 255 if inputs.dtype == torch.uint8 else floats

    def _prepare(self, inputs: Tensor, keys: Tensor | None) -> tuple[Tensor, Tensor]:
        self._check_shape(inputs)
        check_images(inputs, self.encoding, values=False, what="inputs")
        inputs = inputs.to(self.device)
        if self.encoding.frames:
            inputs = inputs.to(self.mean.dtype)
        else:
            inputs = self.normalised(inputs) if self.encoding.static else self._floats(inputs)
        return inputs, keys_of(keys, len(inputs)).to(self.device)

    def _check_shape(self, inputs: Tensor) -> None:
        expected, got = self.sample_shape, tuple(inputs.shape[1:])
        if got == expected:
            return
        advice = channels_advice(got, expected)
        if self.encoding.frames and len(got) == len(expected) and got[1:] == expected[1:]:
            frames = counted(got[0], "timestep")
            advice = f": frames for {frames}, and the network has T = {self.timesteps}; make them equal."
        elif self.encoding.frames and len(got) < len(expected):
            advice = ": the encoding 'event' takes a frame for each timestep; for still images choose another."
        elif len(got) == len(expected) + 1:
            advice = ": frames over time are for the encoding 'event'; build the network with it."
        raise InputError(f"Expected inputs [B, {', '.join(map(str, expected))}], got {list(inputs.shape)}{advice}")


def _put(source: Tensor, rows: Tensor, new: Tensor) -> Tensor:
    """Replace rows of `source` in place, and return it."""
    if source.device.type != "cpu":
        return source.index_copy_(0, rows, new)
    for row, values in zip(rows.tolist(), new, strict=True):  # half of the time of `index_copy_`
        source[row].copy_(values)
    return source


def plain_network(network: Any, purpose: str) -> SteppedNetwork:
    """The network; an `InputError` for a wrapped module, or a form for inference, which cannot be used for that."""
    if not isinstance(network, SteppedNetwork):
        raise InputError(
            f"Expected a network of this package to {purpose}, got {type(network).__name__}: {purpose} a wrapped "
            "module by its own framework."
        )
    if network.form != "plain":
        raise InputError(
            f"Expected a plain network to {purpose}, got one of form {network.form!r}: {purpose} the plain one."
        )
    return network


def pooled(values: Tensor) -> Tensor:
    """`[B, F]` means over space of `[B, F, …]`."""
    return values.flatten(2).mean(2) if values.dim() > 2 else values
