"""A backbone with a count of each row's operations.

    metered = Metered(backbone)                     # a backbone like any other, with the same logits
    state = metered.start(images)
    logits, state = metered.step(state)
    EnergyModel().energy_pj(state.operations)       # [B], including this timestep

Letters: B rows, K classes.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.argument_checks import check_kinds
from backbones.contract.inputs import check_state, whole_numbers
from backbones.contract.protocol import Backbone, Probed, Wrapping
from backbones.energy.operations import OperationCounter, Operations
from backbones.errors import InputError, kind_of


class MeteredState(NamedTuple):
    """A backbone's state, and the operations of its rows."""

    state: Any
    operations: Operations
    """Since each row's start, including it."""


class Metered:
    """A `Backbone` that runs another one and counts the operations of each row.

    The operations of a static encoding's stem, once an image, are counted at its start, and so in the first timestep.

    Args:
        backbone: a `torch.nn.Module`, or `Wrapping` one.

    Raises:
        InputError: for a backbone whose operations cannot be counted.
    """

    @check_kinds
    def __init__(self, backbone: Backbone) -> None:
        if getattr(backbone, "form", "plain") != "plain":
            raise InputError(
                f"Expected a plain network to meter, got one of form {backbone.form!r}, which fires around its "  # type: ignore[attr-defined]
                "neurons: count the operations of its plain form."
            )
        self.backbone = backbone
        self.timesteps, self.num_classes = backbone.timesteps, backbone.num_classes
        wraps = isinstance(backbone, Wrapping) and not isinstance(backbone, nn.Module)
        self._counter = OperationCounter(backbone.module if wraps else backbone)  # type: ignore[attr-defined, arg-type]
        self.sees_spikes = self._counter.sees_spikes
        """Whether the backbone has neurons whose spikes are counted."""

    def __repr__(self) -> str:
        return f"Metered({self.backbone!r})"

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self.backbone.device

    @property
    def fingerprint(self) -> str:
        """The backbone's own: its logits are the same."""
        return self.backbone.fingerprint

    @property
    def sample_shape(self) -> tuple[int, ...] | None:
        """The backbone's own, where it has one."""
        return getattr(self.backbone, "sample_shape", None)

    def start(self, inputs: Tensor, keys: Tensor | None = None) -> MeteredState:
        """See `Backbone.start`."""
        with self._counter as counter:
            state = self.backbone.start(inputs, keys)
            return MeteredState(state, counter.take(len(inputs), self.device))

    def step(self, state: MeteredState) -> tuple[Tensor, MeteredState]:
        """See `Backbone.step`; an `InputError` for a backbone none of whose layers was seen."""
        check_state(state, MeteredState, self)
        with self._counter as counter:
            counter.batch = len(state.operations.counts)
            logits, after = self.backbone.step(state.state)
            if counter.rows is None:
                raise InputError(
                    f"Expected layers to run as modules, got {kind_of(self.backbone)} that ran none: count the "
                    "operations of its plain form."
                )
            return logits, MeteredState(after, Operations(state.operations.counts + counter.take().counts))

    def refill(self, state: MeteredState, rows: Tensor, inputs: Tensor, keys: Tensor | None = None) -> MeteredState:
        """See `Backbone.refill`; the rows' counts start from 0."""
        check_state(state, MeteredState, self)
        rows = whole_numbers(rows, "rows")
        with self._counter as counter:
            after = self.backbone.refill(state.state, rows, inputs, keys)
            seen, new = counter.rows, counter.take(len(rows), self.device)
            if seen not in (None, len(rows)):  # the backbone started more rows
                self.backbone.start(inputs, keys)
                new = counter.take(len(rows), self.device)
        before = state.operations.counts
        return MeteredState(after, Operations(before.index_copy(0, rows.to(before.device), new.counts)))

    def probe(self, state: MeteredState) -> dict[str, Tensor]:
        """The backbone's probes, `operations` `[B, 3]` (MACs, ACs, dense) and `spikes` `[B, 1]`, both int64.

        Spikes are there where the backbone's neurons are of this package.
        """
        check_state(state, MeteredState, self)
        probes = self.backbone.probe(state.state) if isinstance(self.backbone, Probed) else {}
        counts = state.operations.counts
        probes = {**probes, "operations": counts[:, :3]}
        return {**probes, "spikes": counts[:, 3:]} if self.sees_spikes else probes
