"""Energy of traces, from the operations counted at the recording.

Letters: N rows, T timesteps.
"""

from dataclasses import asdict, replace

import numpy as np

from backbones import InputError, energy
from backbones.argument_checks import check_kinds
from backbones.energy import EnergyModel
from seenn_env.traces.traces import Traces


def energy_pj(operations: np.ndarray, model: EnergyModel) -> np.ndarray:
    """`[N, T]` float32 picojoules up to each timestep, of `Traces.operations` `[N, T, 3]`, or any `[…, 3]`."""
    picojoules: np.ndarray = model.pj(operations[..., 0].astype(np.float64), operations[..., 1].astype(np.float64))
    return picojoules.astype(np.float32)


@check_kinds
def with_energy(traces: Traces, model: EnergyModel) -> Traces:
    """The same traces under another energy model; an `InputError` for traces without `operations`."""
    info = {**traces.info, "energy_model": asdict(model)}
    return replace(traces, energy_pj=energy_pj(_operations(traces), model), info=info, trusted=True)


@check_kinds
def synaptic_operations(traces: Traces) -> dict[str, np.ndarray]:
    """NeuroBench's metrics, each `[T]`: mean operations up to each timestep; an `InputError` without `operations`."""
    return dict(zip(energy.NEUROBENCH, _operations(traces).mean(0).T, strict=True))


def _operations(traces: Traces) -> np.ndarray:
    if traces.operations is None:
        raise InputError("Expected traces with operations, got none: record with energy=True.")
    return traces.operations
