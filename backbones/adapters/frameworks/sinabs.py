"""sinabs: state is the buffers of `StatefulLayer`s; `reset_states` resets them.

Layers take inputs `[B, 1, …]`, their "squeeze" forms `[B·1, …]` with the number of timesteps set to 1.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from backbones.adapters.held_state import BufferAccess, HeldState
from backbones.adapters.stepping import Layout, call, whole_batch
from backbones.errors import InputError, kind_of


def default_time_axis(module: nn.Module) -> int | None:
    """1, or None where "squeeze" layers count the timesteps themselves and nothing flattens the time axis."""
    from sinabs.layers import FlattenTime, SqueezeMixin

    parts = list(module.modules())
    squeezed = any(isinstance(part, SqueezeMixin) for part in parts)
    return None if squeezed and not any(isinstance(part, FlattenTime) for part in parts) else 1


def make_stepper(module: nn.Module, example: Tensor, layout: Layout) -> HeldState:
    """The module with explicit state; an `InputError` for layers that mix timesteps or rows."""
    from sinabs.layers import ALIFRecurrent, LIFRecurrent, SpikingMaxPooling2dLayer, StatefulLayer

    for path, part in module.named_modules():
        if isinstance(part, ALIFRecurrent | LIFRecurrent):
            raise InputError(
                f"Expected layers that keep all their state between calls, got {path or 'the module'}, "
                f"{kind_of(part)}: it drops its recurrent spikes at the end of each call."
            )
        if isinstance(part, SpikingMaxPooling2dLayer):
            raise whole_batch(path or type(part).__name__, "a pooling that sums over the first axis as if it were time")

    def run(inputs: Tensor) -> Any:
        with _one_timestep(module, len(inputs)):
            return call(module, inputs)

    access = BufferAccess(module, StatefulLayer, "reset_states", saved=True)
    return HeldState("sinabs", module, access, layout, example, run)


@contextmanager
def _one_timestep(module: nn.Module, rows: int) -> Iterator[None]:
    """Set the layers that unfold the time axis to `rows` rows of one timestep, inside the block."""
    from sinabs.layers import SqueezeMixin, UnflattenTime

    kept: list[tuple[Any, str, int]] = []
    for part in module.modules():
        names = {"batch_size": rows, "num_timesteps": 1} if isinstance(part, SqueezeMixin) else {}
        for name, value in ({"batch_size": rows} if isinstance(part, UnflattenTime) else names).items():
            kept.append((part, name, getattr(part, name)))
            setattr(part, name, value)
    try:
        yield
    finally:
        for part, name, value in kept:
            setattr(part, name, value)
