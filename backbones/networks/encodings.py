"""Encodings of an input as the first layer's input at each timestep.

Inputs are `[B, …]` intensities in [0, 1], or frames over time; timesteps count from 1. Random encodings are pure
integer functions of (seed, key, timestep, position): the same spikes in any slot, batch or machine.
"""

import torch
from torch import Tensor

from backbones.errors import unknown_name
from backbones.keyed_random import hash_uniform


class Encoding:
    """An encoding for T timesteps, with a seed for random ones."""

    name: str
    static = False
    """The same at every timestep."""
    frames = False
    """Inputs have a frame for each timestep, `[B, T, …]`."""

    def __init__(self, timesteps: int, seed: int = 0) -> None:
        self.timesteps, self.seed = timesteps, seed

    def __call__(self, inputs: Tensor, keys: Tensor, timestep: Tensor) -> Tensor:
        """`[B, …]` the first layer's input at each row's `timestep [B]`."""
        raise NotImplementedError


class Direct(Encoding):
    """The intensities themselves at every timestep (direct encoding)."""

    name, static = "direct", True

    def __call__(self, inputs: Tensor, keys: Tensor, timestep: Tensor) -> Tensor:
        """`[B, …]` the inputs."""
        return inputs


class Poisson(Encoding):
    """A spike with the intensity as its probability, drawn anew at every timestep (rate coding)."""

    name = "poisson"

    def __call__(self, inputs: Tensor, keys: Tensor, timestep: Tensor) -> Tensor:
        """`[B, …]` spikes, 0 or 1."""
        uniform = hash_uniform(self.seed, keys, timestep, inputs[0].numel())
        return (uniform.view_as(inputs) < inputs).to(inputs.dtype)


class Latency(Encoding):
    """One spike for each position, earlier for higher intensities, none for 0 (time to first spike).

    The spike of intensity x > 0 comes at timestep 1 + round((1 - x)·(T - 1)).
    """

    name = "latency"

    def __call__(self, inputs: Tensor, keys: Tensor, timestep: Tensor) -> Tensor:
        """`[B, …]` spikes, 0 or 1."""
        due = 1 + torch.round((1 - inputs) * (self.timesteps - 1))
        now = timestep.view(-1, *[1] * (inputs.dim() - 1))
        return ((due == now) & (inputs > 0)).to(inputs.dtype)


class Event(Encoding):
    """Frame t of the input, such as counts of events, at timestep t."""

    name, frames = "event", True

    def __call__(self, inputs: Tensor, keys: Tensor, timestep: Tensor) -> Tensor:
        """`[B, …]` each row's frame of `inputs` `[B, T, …]`; the last one beyond T."""
        rows = torch.arange(len(inputs), device=inputs.device)
        return inputs[rows, timestep.clamp(max=self.timesteps) - 1]


ENCODINGS: dict[str, type[Encoding]] = {kind.name: kind for kind in (Direct, Event, Latency, Poisson)}


def make_encoding(name: str, timesteps: int, seed: int = 0) -> Encoding:
    """The encoding of that name, or an `InputError`."""
    if name not in ENCODINGS:
        raise unknown_name("encoding", name, ENCODINGS)
    return ENCODINGS[name](timesteps, seed)
