"""Plain torch: state is passed, `output, state = module(inputs, state)`, None at first.

The initial state is zero, or that of the module's own `initial_state(inputs)`.
"""

from torch import Tensor, nn

from backbones.adapters.passed_state import PassedState
from backbones.adapters.stepping import Layout


def default_time_axis(module: nn.Module) -> int | None:
    """None: a call is one timestep."""
    return None


def make_stepper(module: nn.Module, example: Tensor, layout: Layout) -> PassedState:
    """The module with explicit state; see `PassedState` for its errors."""
    return PassedState("torch", module, layout, example)
