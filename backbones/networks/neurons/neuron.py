"""Spiking neurons as pure functions of current and membrane potential.

    neuron = LIF(decay=0.5)
    spikes, v = neuron(current, v)

All tensors of one call have one shape, `[B, …]`; one call is one timestep.
"""

import functools
import math
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn

from backbones.argument_checks import Above, AboveZero, AtMost, Finite, check_kinds
from backbones.errors import InputError
from backbones.networks.neurons.surrogates import derivative_function, spike


class LIF(nn.Module):
    """Leaky integrate-and-fire, in discrete time (SEENN, section 3.1; with hard reset as in TET's code).

        v ← v_rest + decay·(v - v_rest) + current        leak and integrate
        s = 1 if v > v_threshold (or ≥) else 0           fire
        v ← v_reset where s (hard), v - s·v_threshold (soft)     reset

    v_rest is v_reset, or 0 with a soft reset. With a time constant tau in timesteps, `decay` is 1 - 1/tau in
    SpikingJelly's sense, and exp(-1/tau) of the exact solution.

    Args:
        decay: leak factor in (0, 1]; 1 does not leak.
        v_threshold: firing threshold, above 0.
        v_reset: potential after a hard reset; None subtracts the threshold instead (soft reset).
        v_init: potential before the first timestep (default: v_rest).
        inclusive: whether a potential exactly at the threshold fires.
        surrogate: name of the surrogate gradient, with its parameter in `surrogate_options`.
        detach_reset: whether the gradient ignores the reset.
    """

    height: float = 1.0
    """Value of a spike."""

    @check_kinds
    def __init__(
        self,
        decay: Annotated[float, Above(0), AtMost(1)] = 0.5,
        v_threshold: AboveZero = 1.0,
        v_reset: Finite | None = 0.0,
        *,
        v_init: Finite | None = None,
        inclusive: bool = False,
        surrogate: str = "triangle",
        surrogate_options: dict[str, float] | None = None,
        detach_reset: bool = False,
    ) -> None:
        super().__init__()
        self.decay = decay
        self.v_threshold = v_threshold
        self.v_reset = v_reset
        self.v_rest = 0.0 if v_reset is None else v_reset
        self.v_init = self.v_rest if v_init is None else v_init
        self.inclusive = inclusive
        self.detach_reset = detach_reset
        self.surrogate, self.surrogate_options = surrogate, dict(surrogate_options or {})
        self.derivative = derivative_function(surrogate, **self.surrogate_options)

    def settings(self) -> dict[str, Any]:
        """The arguments of its class that make the same neuron."""
        return {name: getattr(self, name) for name in _SETTINGS}

    def forward(self, current: Tensor, v: Tensor, fresh: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One timestep.

        Args:
            current: `[B, …]` input current.
            v: `[B, …]` membrane potential before the timestep.
            fresh: `[B]` bool: rows that start from v_init and not from `v`, be it NaN or inf.

        Returns:
            spikes: `[B, …]` 0 or 1, of the current's dtype.
            v: `[B, …]` the potential after the reset.
        """
        if fresh is not None:
            v = torch.where(fresh.view(-1, *[1] * (v.dim() - 1)), self.v_init, v)
        v = self.charge(current, v)
        spikes = self.fire(v)
        return spikes, self.reset(v, spikes)

    def charge(self, current: Tensor, v: Tensor | None) -> Tensor:
        """Leak and integrate; `v` None stands for v_init."""
        if v is None:
            if self.v_init == self.v_rest == 0:
                return current
            v = self.initial(current)
        leak = self.leak()
        if self.v_rest:
            return self.v_rest + leak * (v - self.v_rest) + current
        if isinstance(leak, float | int) and leak == 1:
            return v + current
        return leak * v + current

    def leak(self) -> float | Tensor:
        """The leak factor of a timestep."""
        return self.decay

    def fire(self, v: Tensor) -> Tensor:
        """Spikes of a potential."""
        return spike(v - self.v_threshold, self.inclusive, self.derivative)

    def reset(self, v: Tensor, spikes: Tensor) -> Tensor:
        """The potential after the spikes."""
        kept = spikes.detach() if self.detach_reset else spikes
        if self.v_reset is None:
            return v - kept * self.v_threshold
        if self.v_reset == 0:
            return v * (1 - kept)
        return v * (1 - kept) + kept * self.v_reset

    def initial(self, current: Tensor) -> Tensor:
        """The potential before the first timestep, in the shape of a `current`."""
        return torch.full_like(current, self.v_init)

    def dynamics(self) -> "Dynamics":
        """The constants of its timestep."""
        soft = self.v_reset is None
        fire = (self.v_threshold, self.v_init, soft, self.inclusive, self.detach_reset, self.derivative)
        return Dynamics(self.decay, *fire)

    def extra_repr(self) -> str:
        """The settings, as `print` shows them."""
        reset = "soft" if self.v_reset is None else f"hard to {self.v_reset}"
        return f"decay={self.decay}, v_threshold={self.v_threshold}, reset={reset}, v_init={self.v_init}"


class Dynamics(NamedTuple):
    """Constants of the timestep of a neuron that rests at 0, for kernels."""

    decay: float
    v_threshold: float
    v_init: float
    soft: bool
    inclusive: bool
    detach_reset: bool
    derivative: "functools.partial[Tensor]"


_SETTINGS = ("decay", "v_threshold", "v_reset", "v_init", "inclusive", "surrogate", "surrogate_options", "detach_reset")


class IF(LIF):
    """Integrate-and-fire: an LIF without leak, by default with soft reset."""

    def __init__(self, v_threshold: float = 1.0, v_reset: float | None = None, **settings: object) -> None:
        super().__init__(1.0, v_threshold, v_reset, **settings)  # type: ignore[arg-type]

    def settings(self) -> dict[str, Any]:
        """See `LIF.settings`; there is no leak."""
        return {name: value for name, value in super().settings().items() if name != "decay"}


class PLIF(LIF):
    """LIF whose leak is learned, one for each layer (Fang et al., PLIF, ICCV 2021, with the input not scaled).

        decay = σ(w)                                     w is trained, and starts at ln(decay / (1 - decay))

    Args:
        decay: where the leak factor starts, in (0, 1).
        settings: those of `LIF`.
    """

    def __init__(self, decay: float = 0.5, *arguments: Any, **settings: Any) -> None:
        super().__init__(decay, *arguments, **settings)
        if decay == 1:
            raise InputError("Expected a decay in (0, 1) to learn from, got 1: use the neuron 'if'.")
        self.w = nn.Parameter(torch.tensor(math.log(decay / (1 - decay))))

    def settings(self) -> dict[str, Any]:
        """See `LIF.settings`; the leak factor is the learned one."""
        return {**super().settings(), "decay": self.leak().item()}

    def leak(self) -> Tensor:
        """σ(w)."""
        return torch.sigmoid(self.w)


NEURONS: dict[str, type[LIF]] = {"lif": LIF, "if": IF, "plif": PLIF}
