"""The form of a network for inference: norms folded, membranes updated in place, a few rows at a time.

Letters: B rows, T timesteps, K classes, N samples.
"""

import copy
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from backbones.argument_checks import check_kinds
from backbones.contract.inputs import check_state
from backbones.errors import InputError
from backbones.hooks import hooked
from backbones.networks.inference.folding import fold_norms
from backbones.networks.inference.inplace_neuron import InPlaceFire
from backbones.networks.kernels.winograd import use_winograd
from backbones.networks.norms import TimestepScale
from backbones.networks.stepped_network import State, SteppedNetwork, pooled
from backbones.one_line import one_line

Dtype = Literal["float32", "bfloat16"]
DTYPES: dict[Dtype, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}

ROWS_AT_ONCE = 64
"""Rows computed together on a CPU, through all layers: few enough for its cache, and for memory to be reused."""


@dataclass(frozen=True)
class Report:
    """Comparison of two forms of a network on the same samples."""

    agreement: np.ndarray
    """`[T]` fraction of samples with equal predictions."""
    accuracy_before: np.ndarray
    """`[T]` of the plain form."""
    accuracy_after: np.ndarray
    """`[T]` of the other form."""
    samples: int
    """N."""

    __repr__ = one_line


class Cast(nn.Module):
    """Cast to a dtype and a memory format."""

    def __init__(self, dtype: torch.dtype, memory_format: torch.memory_format = torch.preserve_format) -> None:
        super().__init__()
        self.dtype, self.memory_format = dtype, memory_format

    def forward(self, x: Tensor) -> Tensor:
        """`[B, …]` to the same."""
        return x.to(self.dtype, memory_format=self.memory_format)


class InferenceNetwork(SteppedNetwork):
    """A frozen network in the form for inference; made by `SpikingNetwork.optimize`.

    Potentials, readout and head stay in float32. On a CPU, rows are computed `ROWS_AT_ONCE` at a time, so that logits
    do not depend on the number of slots where that is a multiple of it (other numbers are cut into about equal parts).

    Args:
        network: the plain network, which is copied.
        dtype: of the convolutions, "float32" or "bfloat16".
        channels_last: layout of images and spikes.
        compile: run a step through `torch.compile` (with CUDA graphs on a GPU).
        winograd: see `optimization.optimize`.
    """

    @check_kinds
    def __init__(
        self, network: SteppedNetwork, *, dtype: Dtype, channels_last: bool, compile: bool, winograd: bool
    ) -> None:
        plain, network = network, copy.deepcopy(network).eval().requires_grad_(False)
        settings = {"dtype": dtype, "channels_last": channels_last, "compile": compile, "winograd": winograd}
        fold_norms(network)
        layout = torch.channels_last if channels_last else torch.preserve_format
        stem, body = (part.to(DTYPES[dtype]).to(memory_format=layout) for part in (network.stem, network.body))
        for module in body.modules():  # parameters of neurons and norms per timestep keep their precision
            if hasattr(module, "leak") or isinstance(module, TimestepScale):
                module.float()
        into, out_of = Cast(DTYPES[dtype], layout), Cast(torch.float32, torch.contiguous_format)
        super().__init__(network.config, nn.Sequential(into, stem), body, nn.Sequential(out_of, network.head))
        self.to(network.device)
        self.division, self.class_names = plain.division, plain.class_names
        self._plain = (plain,)  # a tuple, so that it is no submodule
        self._settings = settings
        parts = ["folded", dtype, *["channels_last"] * channels_last, *["compiled"] * compile]
        on_cpu = self.device.type == "cpu"
        if winograd and dtype == "float32" and channels_last and on_cpu and not compile and self._use_winograd():
            parts.append("winograd")
        self.form = "+".join(parts)
        self.report: Report | None = None
        """Result of the check on calibration data."""
        self._compiled: Any = self._compile() if compile else None
        self._shapes: list[Tensor] = []
        self.eval()

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move the network; on a device of another type (`.to("cuda")`) the form, which depends on it, is made anew."""
        before = getattr(self, "_settings", None) and self.device.type  # the constructor itself moves parts
        super()._apply(fn, recurse)
        if before and self.device.type != before:
            report = self.report
            plain = copy.deepcopy(self.plain).to(self.device)
            self.__init__(plain, **self._settings)  # type: ignore[misc]
            self.report = report
        return self

    @property
    def plain(self) -> SteppedNetwork:
        """The network that this is a form of."""
        return self._plain[0]

    @torch.no_grad()
    def step(self, state: State) -> tuple[Tensor, State]:
        """One timestep for every row; `state` does not change. See `Backbone.step`."""
        check_state(state, State, self)
        return self.advance(
            state._replace(
                readout=state.readout.clone(),
                hidden=None if state.hidden is None else state.hidden.clone(),
                membranes=tuple(v.clone() for v in state.membranes),
            )
        )

    @torch.no_grad()
    def advance(self, state: State) -> tuple[Tensor, State]:
        """One timestep for every row in the memory of `state`. See `Advancing.advance`."""
        check_state(state, State, self)
        B = len(state.keys)
        timestep = state.timestep + 1
        membranes, hidden, fresh = list(state.membranes), state.hidden, state.fresh
        if self._compiled is not None and not membranes:
            membranes, fresh = self._blank(state), torch.ones_like(state.keys, dtype=torch.bool)
        for rows in [slice(0, B)] if self.device.type == "cuda" else parts_of(B):
            when = state.timestep[rows]
            self._set_timesteps(when)
            current = self._current(state, rows, timestep)
            if self._compiled is None:
                fire = InPlaceFire(membranes, B, rows, fresh, keep=current)
                output = self.head(self.body(current, fire))
                active = _activity(*fire.last)
            else:
                output, active = self._run_compiled(current, membranes, rows, fresh, when)
            if hidden is None:
                hidden = active.new_empty(B, active.shape[1])
            state.readout[rows] += output
            hidden[rows] = active
        logits = state.readout / timestep[:, None]
        return logits, state._replace(timestep=timestep, hidden=hidden, membranes=tuple(membranes), fresh=None)

    def optimize(self, **settings: Any) -> "InferenceNetwork":
        """Raise an `InputError`: only plain networks can be optimized."""
        raise InputError(f"Expected a plain network to optimize, got one of form {self.form!r}: optimize that instead.")

    def _compile(self) -> Any:
        def step(
            current: Tensor, membranes: list[Tensor], fresh: Tensor, when: Tensor
        ) -> tuple[Tensor, Tensor, list[Tensor]]:
            after: list[Tensor] = []
            last: list[tuple[Tensor, float]] = []
            self._set_timesteps(when)

            def fire(neuron: Any, current: Tensor) -> Tensor:
                spikes, v = neuron(current.float(), membranes[len(after)], fresh)
                after.append(v)
                last[:] = [(spikes, neuron.height)]
                return spikes.to(current.dtype)

            output = self.head(self.body(current, fire))
            return output, _activity(*last[0]), after

        mode = "reduce-overhead" if self.device.type == "cuda" else "default"
        return torch.compile(step, mode=mode, dynamic=False)

    def _use_winograd(self) -> int:
        """Replace the convolutions for which Winograd's is faster, by the sizes of an empty image there."""
        sizes: dict[nn.Conv2d, tuple[int, int]] = {}

        def note_size(module: nn.Conv2d, inputs: Any) -> None:
            sizes[module] = tuple(inputs[0].shape[2:])

        convolutions = [module for module in self.body.modules() if isinstance(module, nn.Conv2d)]
        with torch.no_grad(), hooked(convolutions, note_size, before=True):
            state = self.eval().start(torch.zeros(1, *self.sample_shape, device=self.device))
            current = self._current(state, slice(0, 1), state.timestep + 1)
            self.body(current, InPlaceFire([], 1, slice(0, 1), None, keep=current))
        return use_winograd(self.body, sizes)

    def _current(self, state: State, rows: slice, timestep: Tensor) -> Tensor:
        return self.current(state.source[rows], state.keys[rows], timestep[rows])

    def _blank(self, state: State) -> list[Tensor]:
        """Zero membranes, with the shapes of a step that is not compiled."""
        if not self._shapes:
            current = self._current(state, slice(0, 1), state.timestep)
            self.body(current, InPlaceFire(self._shapes, 1, slice(0, 1), None, keep=current))
        B = len(state.keys)
        return [torch.empty_strided((B, *v.shape[1:]), v.stride(), device=v.device).zero_() for v in self._shapes]

    def _run_compiled(
        self, current: Tensor, membranes: list[Tensor], rows: slice, fresh: Tensor | None, when: Tensor
    ) -> tuple[Tensor, Tensor]:
        mask = torch.zeros(len(membranes[0]), dtype=torch.bool, device=self.device) if fresh is None else fresh
        output, active, after = self._compiled(current, [v[rows] for v in membranes], mask[rows], when)
        for v, new in zip(membranes, after, strict=True):
            v[rows] = new
        return output, active


def _activity(spikes: Tensor, height: float) -> Tensor:
    """`[B, F]` float32 spikes averaged over space, each counted as 1."""
    return pooled(spikes.float()) / height


def parts_of(batch: int) -> list[slice]:
    """Rows that are computed together: 64 where that divides the batch, else about equal parts below 64."""
    most = ROWS_AT_ONCE if batch % ROWS_AT_ONCE == 0 else ROWS_AT_ONCE - 1
    count = -(-batch // most)
    return [slice(i * batch // count, (i + 1) * batch // count) for i in range(count)]
