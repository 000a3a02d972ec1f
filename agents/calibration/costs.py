"""Costs of exits in picojoules or measured units, the policy's own included.

Letters: N rows, T timesteps.
"""

from typing import Any

import numpy as np

from agents.rules.score import ScoredPolicy
from backbones import InputError
from backbones.energy import EnergyModel
from seenn_env import Traces


def energy_costs(policy: ScoredPolicy | None, traces: Traces) -> np.ndarray:
    """`[N, T]` pJ of an exit at each timestep: the network's energy up to it, and the policy's own.

    The energy of a `ScoredPolicy` is that of its `macs` (multiplications and additions of one decision) in the energy
    model of the traces: once per decision, of which T has none, or once per row if it decides at the start. An
    `InputError` for traces without energy.
    """
    if traces.energy_pj is None:
        raise InputError("Expected traces with energy_pj for a target in energy, got none: record it.")
    model = EnergyModel(**(traces.info.get("energy_model") or {}))
    return traces.energy_pj.astype(np.float64) + own_energy(policy, traces.timesteps, model)


def own_energy(policy: Any, timesteps: int, model: EnergyModel | None = None) -> np.ndarray:
    """`[T]` pJ of a policy's own decisions up to an exit at each timestep."""
    if not isinstance(policy, ScoredPolicy):
        return np.zeros(timesteps)
    decision = float((model or EnergyModel()).pj(policy.macs, 0))
    if policy.decides == "start":
        return np.full(timesteps, decision)
    return decision * np.minimum(np.arange(1, timesteps + 1), timesteps - 1)


def measured_costs(costs: Any, traces: Traces) -> np.ndarray:
    """`[N, T]` of costs `[T]` or `[N, T]` of exits; an `InputError` for other shapes, or costs that fall."""
    costs = np.asarray(costs)
    if costs.dtype.kind not in "iuf":
        raise InputError(f"Expected costs of numbers, got {costs.dtype}.")
    costs = costs.astype(np.float64)
    if costs.shape not in ((traces.timesteps,), (len(traces), traces.timesteps)):
        raise InputError(
            f"Expected costs [T] or [N, T] of exits at each timestep, [{traces.timesteps}] or "
            f"[{len(traces)}, {traces.timesteps}], got {list(costs.shape)}."
        )
    if not np.isfinite(costs).all() or costs.min() < 0 or (np.diff(costs) < 0).any():
        raise InputError("Expected finite costs from 0 on that never fall over time: pass cumulative costs.")
    return np.broadcast_to(costs, (len(traces), traces.timesteps))
