"""The backbone protocol: explicit state, one timestep at a time, independent rows.

    state = backbone.start(inputs, keys)
    for t in range(backbone.timesteps):
        logits, state = backbone.step(state)

Letters: B rows of a batch, T timesteps, K classes, F features of the last hidden layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:  # environments over traces name the protocol, and run without PyTorch
    import torch
    from torch import Tensor, nn

State = Any
"""A tree (tuples, lists, dictionaries) of tensors, each with leading dimension B."""


@runtime_checkable
class Backbone(Protocol):
    """A frozen spiking network that is stepped from outside.

    Rows are independent: at one batch shape, the contents and refills of other rows never change a row's logits;
    its place in the batch changes their rounding at most. `backbones.check_backbone` tests it.
    """

    timesteps: int
    """T: the most timesteps of an input."""

    num_classes: int
    """K."""

    @property
    def device(self) -> torch.device:
        """Where the network runs."""

    @property
    def fingerprint(self) -> str:
        """A hash of architecture, weights, neuron settings, encoding with its seed, and form."""

    def start(self, inputs: Tensor, keys: Tensor | None = None) -> State:
        """The state before the first timestep.

        Args:
            inputs: `[B, …]` one input a row: images are uint8 or floats in [0, 1].
            keys: `[B]` int64 names of the rows, from which a random encoding draws (default: all 0).
        """

    def step(self, state: State) -> tuple[Tensor, State]:
        """One timestep for every row; `state` itself stays as it is.

        Returns:
            logits: `[B, K]` the mean of the outputs so far, on the same scale at every timestep.
            state: the state after the timestep.
        """

    def refill(self, state: State, rows: Tensor, inputs: Tensor, keys: Tensor | None = None) -> State:
        """Those rows start afresh on new inputs; the others continue untouched.

        Args:
            state: a state that `start` or `step` gave; not to be used afterwards.
            rows: `[R]` int64, which rows.
            inputs: `[R, …]`.
            keys: `[R]`.
        """


@runtime_checkable
class Probed(Protocol):
    """Optional part of a backbone: the activity of its last hidden layer at the last timestep, pooled over space."""

    def probe(self, state: State) -> dict[str, Tensor]:
        """`{"hidden": [B, F] mean spikes, "membrane": [B, F] mean membrane potentials}`, of a `step`'s state."""


@runtime_checkable
class Wrapping(Protocol):
    """Optional part of a backbone that is no `torch.nn.Module`: the module that it runs."""

    @property
    def module(self) -> nn.Module:
        """Its layers, with the rows along their first dimension, or the second behind a time axis of length 1."""


@runtime_checkable
class Advancing(Protocol):
    """Optional part of a backbone: a step in the memory of the given state."""

    def advance(self, state: State) -> tuple[Tensor, State]:
        """`Backbone.step`, bit for bit, but `state` is used up."""
