"""Norse: state is passed, `output, state = module(inputs, state)`; cells have their own initial state.

Modules with time (`LIF`, `Lift`, …) expect it on axis 0; cells take one timestep.
"""

from functools import partial

from torch import nn

from backbones.adapters.passed_state import PassedState


def default_time_axis(module: nn.Module) -> int | None:
    """0 where a layer runs over time."""
    import norse.torch as norse
    from norse.torch.module.snn import SNN, SNNRecurrent

    return 0 if any(isinstance(part, SNN | SNNRecurrent | norse.Lift) for part in module.modules()) else None


make_stepper = partial(PassedState, "norse")
