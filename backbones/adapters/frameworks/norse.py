"""Norse: state is passed, `output, state = module(inputs, state)`; cells have their own initial state.

Modules with time (`LIF`, `Lift`, …) expect it on axis 0; cells take one timestep.
"""

from torch import Tensor, nn

from backbones.adapters.passed_state import PassedState
from backbones.adapters.stepping import Layout


def default_time_axis(module: nn.Module) -> int | None:
    """0 where a layer runs over time."""
    import norse.torch as norse
    from norse.torch.module.snn import SNN, SNNRecurrent

    return 0 if any(isinstance(part, SNN | SNNRecurrent | norse.Lift) for part in module.modules()) else None


def make_stepper(module: nn.Module, example: Tensor, layout: Layout) -> PassedState:
    """The module with explicit state; see `PassedState` for its errors."""
    return PassedState("norse", module, layout, example)
