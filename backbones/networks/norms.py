"""Norms between convolution and neuron.

Letters: T timesteps, B rows, C channels. Time is merged into the batch while training: `[T·B, C, H, W]`.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.errors import InputError, unknown_name

MakeNorm = Callable[..., nn.Module]
"""`make_norm(channels, alpha=1.0)`."""


class ThresholdBatchNorm2d(nn.BatchNorm2d):
    """Threshold-dependent batch norm, tdBN (Zheng et al., AAAI 2021, equations 5 to 7).

        y = γ·α·V_th·(x - μ) / √(σ² + ε) + β

    μ and σ² are a channel's mean and variance over time, batch and space together, so that currents have the scale of
    the threshold; in evaluation mode they are the running estimates. γ starts at 1, β at 0.

    Args:
        channels: C.
        alpha: α: 1, or 1/√2 where two branches add up to one current.
        v_threshold: V_th of the neuron that follows.
    """

    def __init__(self, channels: int, *, alpha: float = 1.0, v_threshold: float = 1.0) -> None:
        super().__init__(channels)
        self.scale = alpha * v_threshold

    def forward(self, input: Tensor) -> Tensor:
        """`[T·B, C, H, W]` to the same."""
        if self.training:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
        assert self.momentum is not None
        statistics, gamma = (self.running_mean, self.running_var), self.weight * self.scale
        return F.batch_norm(input, *statistics, gamma, self.bias, self.training, self.momentum, self.eps)

    def extra_repr(self) -> str:
        """The settings, as `print` shows them."""
        return f"{self.num_features}, scale={self.scale:.4g}, eps={self.eps}, momentum={self.momentum}"


class Clock:
    """The timestep of each row, set by a network before it runs and read by its norms per timestep."""

    def __init__(self) -> None:
        self.when: Tensor | None = None
        """`[rows]` int64 from 0; None for 0."""
        self.timesteps: int | None = None
        """Number of timesteps in the batch, in their order and with equally many rows, where it is known."""
        self._runs: tuple[list[int], list[int]] | None = None

    def set(self, when: Tensor | None, timesteps: int | None = None) -> None:
        """Set `when` and `timesteps`."""
        self.when, self.timesteps, self._runs = when, timesteps, None

    def runs(self) -> tuple[list[int], list[int]]:
        """Run-length encoding of `when`: lengths and timesteps of its runs, computed once for all norms."""
        if self._runs is None:
            groups = [] if self.when is None else [(t, len(list(g))) for t, g in itertools.groupby(self.when.tolist())]
            self._runs = [length for _, length in groups], [t for t, _ in groups]
        return self._runs


class TimestepBatchNorm2d(nn.Module):
    """tdBN whose μ and σ² are each timestep's own, over batch and space; γ and β are shared by all.

    Not a `BatchNorm2d`: after folding, a `TimestepScale` remains of it.

    Args:
        channels: C.
        timesteps: T, the number of running estimates.
        alpha: α of tdBN.
        v_threshold: V_th of the neuron that follows.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, timesteps: int, *, alpha: float = 1.0, v_threshold: float = 1.0) -> None:
        super().__init__()
        self.scale = alpha * v_threshold
        self.momentum, self.eps = 0.1, 1e-5
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(timesteps, channels))
        self.register_buffer("running_var", torch.ones(timesteps, channels))
        self.clock = Clock()
        """Replaced by the network's own."""

    def forward(self, input: Tensor) -> Tensor:
        """`[rows, C, H, W]` to the same; in training mode, the rows of a timestep are consecutive."""
        when = self.clock.when
        if when is None:
            if self.training:
                gamma = self.weight * self.scale
                mean, var = self.running_mean[0], self.running_var[0]
                return F.batch_norm(input, mean, var, gamma, self.bias, True, self.momentum, self.eps)
            when = torch.zeros(len(input), dtype=torch.int64, device=input.device)
        if len(when) != len(input):
            raise InputError("Expected one number of timesteps in all layers: norms per timestep cannot be mixed.")
        gamma = self.weight * self.scale
        if not self.training:
            factor = gamma / torch.sqrt(self.running_var + self.eps)
            return _scaled(input, factor, self.bias - self.running_mean * factor, when)
        count = self.clock.timesteps or int(when[-1]) + 1  # of a GPU's tensor this would wait for it
        parts = [
            F.batch_norm(part, mean, var, gamma, self.bias, True, self.momentum, self.eps)
            for part, mean, var in zip(input.chunk(count), self.running_mean, self.running_var, strict=False)
        ]
        return torch.cat(parts)

    def extra_repr(self) -> str:
        """The settings, as `print` shows them."""
        return f"{len(self.weight)}, timesteps={len(self.running_mean)}, scale={self.scale:.4g}"


class TimestepScale(nn.Module):
    """The remaining part of a `TimestepBatchNorm2d` whose first timestep is folded into the convolution before it.

        y_t = (σ_1/σ_t)·(y_1 - β) + (γ·α·V_th/σ_t)·(μ_1 - μ_t) + β

    with σ² short for σ² + ε: the identity at the first timestep, where most rows of early exit are. On a CPU it
    overwrites its input.
    """

    factor: Tensor
    shift: Tensor

    def __init__(self, norm: TimestepBatchNorm2d) -> None:
        super().__init__()
        sigma = (norm.running_var.double() + norm.eps).sqrt()
        factor = sigma[0] / sigma
        gain = norm.weight.double() * norm.scale / sigma
        shift = gain * (norm.running_mean[0] - norm.running_mean).double() + norm.bias.double() * (1 - factor)
        self.register_buffer("factor", factor.to(norm.weight.dtype).detach())
        self.register_buffer("shift", shift.to(norm.weight.dtype).detach())
        self.clock = Clock()
        """Replaced by the network's own."""
        self._views: list[tuple[Tensor, Tensor]] | None = None
        """Factor and shift `[C, 1, 1]` of each timestep, made once: making views between convolutions is slow."""

    def forward(self, input: Tensor) -> Tensor:
        """`[rows, C, H, W]` to the same, in the input's dtype."""
        when = self.clock.when
        if when is None:
            return input
        if input.is_cuda or torch.compiler.is_compiling():
            return _scaled(input, self.factor, self.shift, when).to(input.dtype)
        lengths, timesteps = self.clock.runs()
        if not any(timesteps):
            return input
        if self._views is None:
            self._views = list(zip(self.factor[..., None, None], self.shift[..., None, None], strict=True))
        for rows, t in zip(input.split_with_sizes(lengths) if lengths[1:] else [input], timesteps, strict=True):
            if t:
                factor, shift = self._views[t]
                wide = rows.to(factor.dtype)  # the rows themselves, but in bfloat16
                torch.addcmul(shift, wide, factor, out=wide)
                if wide is not rows:
                    rows.copy_(wide)
        return input

    def _apply(self, *arguments: Any, **named: Any) -> Self:
        self._views = None  # of the old memory
        return super()._apply(*arguments, **named)


def _scaled(input: Tensor, factor: Tensor, shift: Tensor, when: Tensor) -> Tensor:
    """`[rows, C, H, W]` times factor plus shift `[T, C]` of each row's timestep."""
    return input * factor[when][..., None, None] + shift[when][..., None, None]


PER_TIMESTEP = "tdbn-per-timestep"


def norm_maker(name: str, v_threshold: float, timesteps: int = 1) -> MakeNorm:
    """A function `make(channels, alpha=1.0)` of the norms "tdbn", "bn" (which has no α) or "tdbn-per-timestep"."""
    makers: dict[str, MakeNorm] = {
        "tdbn": partial(ThresholdBatchNorm2d, v_threshold=v_threshold),
        "bn": lambda channels, alpha=1.0: nn.BatchNorm2d(channels),
        PER_TIMESTEP: partial(TimestepBatchNorm2d, timesteps=timesteps, v_threshold=v_threshold),
    }
    if name not in makers:
        raise unknown_name("norm", name, makers)
    return makers[name]
