"""NIR's neurons in discrete time: `(inputs, state) -> (output, state)`, one forward Euler step of length dt.

    I ← I + dt/τ_syn·(w_in·S - I)                    of CubaLI and CubaLIF; else I is the input
    v ← v + dt/τ·((v_leak - v) + R·I)                leaky;  v + dt·R·I of I and IF
    s = 1 if v > v_threshold else 0                  of LIF, CubaLIF and IF; else v is the output
    v ← v_reset where s

v starts at v_leak where there is a leak, else at v_reset, or at 0; I starts at 0.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

NEURONS = ("CubaLI", "CubaLIF", "I", "IF", "LI", "LIF")
PARAMETERS = ("tau", "tau_mem", "tau_syn", "r", "v_leak", "w_in", "v_threshold", "v_reset")


def as_floats(values: Any) -> Tensor:
    """A node's values as float32."""
    return torch.as_tensor(np.array(values), dtype=torch.float32).clone()


class Neuron(nn.Module):
    """A neuron of a NIR node (of `NEURONS`, without batch), whose parameters decide its equations.

    `dt` is the length of a timestep, in the unit of the node's time constants.
    """

    def __init__(self, node: Any, dt: float) -> None:
        super().__init__()
        self.kind, self.dt = type(node).__name__, dt
        for name in PARAMETERS:
            if hasattr(node, name):
                self.register_buffer(name, as_floats(getattr(node, name)))

    def initial_state(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """`(v [B, …],)`, with the synaptic current after it where there is one."""
        v = torch.zeros_like(inputs)
        rest = self._get("v_leak") if self._has("v_leak") else self._get("v_reset") if self._has("v_reset") else 0
        return (v + rest, v) if self._has("tau_syn") else (v + rest,)

    def forward(self, inputs: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One timestep: `[B, …]` to spikes, or potentials where the neuron has no threshold."""
        v, *synapse = self.initial_state(inputs) if state is None else state
        current = inputs
        if synapse:
            current = synapse[0] + self.dt / self._get("tau_syn") * (self._get("w_in") * inputs - synapse[0])
            synapse = [current]
        driven = self._get("r") * current
        if self._has("v_leak"):
            tau = self._get("tau_mem" if synapse else "tau")
            v = v + self.dt / tau * ((self._get("v_leak") - v) + driven)
        else:
            v = v + self.dt * driven
        if not self._has("v_threshold"):
            return v, (v, *synapse)
        spikes = v > self._get("v_threshold")
        return spikes.to(v.dtype), (torch.where(spikes, self._get("v_reset"), v), *synapse)

    def extra_repr(self) -> str:
        """The settings, as `print` shows them."""
        return f"{self.kind}, dt={self.dt}"

    def _has(self, name: str) -> bool:
        return hasattr(self, name)

    def _get(self, name: str) -> Tensor:
        return self.get_buffer(name)
