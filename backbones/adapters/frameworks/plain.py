"""Plain torch: state is passed, `output, state = module(inputs, state)`, from state None on.

What the module starts from is zero, or what its own `initial_state(inputs)` says.
"""

from torch import Tensor, nn

from backbones.adapters.passed_state import PassedState
from backbones.adapters.stepping import Layout


def default_time_axis(module: nn.Module) -> int | None:
    """None: a call is one timestep."""
    return None


def make_stepper(module: nn.Module, example: Tensor, layout: Layout) -> PassedState:
    """The module with its state in our hands.

    Raises:
        InputError: for what `PassedState` refuses.
    """
    return PassedState("torch", module, layout, example)
