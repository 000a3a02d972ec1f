"""What exits cost: timesteps, picojoules, or anything measured; with what the policy itself costs.

Letters: N rows, T timesteps.
"""

from typing import Any

import numpy as np

from agents.rules.score import ScoredPolicy
from backbones import InputError
from backbones.energy import EnergyModel
from seenn_env import Traces


def timestep_costs(traces: Traces) -> np.ndarray:
    """`[N, T]` the timestep itself."""
    return np.broadcast_to(np.arange(1.0, traces.timesteps + 1), (len(traces), traces.timesteps))


def energy_costs(policy: ScoredPolicy | None, traces: Traces) -> np.ndarray:
    """`[N, T]` pJ that an exit has cost: the network's energy up to it, and the policy's own.

    A `ScoredPolicy` pays for its `macs` (multiplications and additions of one decision) what the traces' energy model
    says: once for every decision, of which there is none at T, or once for every row if it decides at the start.

    Raises:
        InputError: for traces without energy.
    """
    if traces.energy_pj is None:
        raise InputError("Expected traces with energy_pj for a target in energy, got none: record it.")
    model = EnergyModel(**traces.info.get("energy_model", {}))
    return traces.energy_pj.astype(np.float64) + own_energy(policy, traces.timesteps, model)


def own_energy(policy: Any, timesteps: int, model: EnergyModel | None = None) -> np.ndarray:
    """`[T]` pJ that a policy itself has spent on an exit at each timestep."""
    if not isinstance(policy, ScoredPolicy):
        return np.zeros(timesteps)
    spent = float((model or EnergyModel()).pj(policy.macs, 0))
    if policy.decides == "start":
        return np.full(timesteps, spent)
    return spent * np.minimum(np.arange(1, timesteps + 1), timesteps - 1)


def measured_costs(costs: Any, traces: Traces) -> np.ndarray:
    """`[N, T]` of costs `[T]` or `[N, T]` of exits at each timestep.

    Raises:
        InputError: for another shape, or costs that fall.
    """
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
        raise InputError(
            "Expected finite costs from 0 on that never fall over time: give what an exit has cost in all."
        )
    return np.broadcast_to(costs, (len(traces), traces.timesteps))
