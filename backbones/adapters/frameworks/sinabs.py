"""sinabs: state is the buffers of `StatefulLayer`s, which `reset_states` resets.

Layers want inputs `[B, 1, …]`, and the "squeeze" forms `[B·1, …]` with the number of timesteps set to 1 meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from backbones.adapters.held_state import HeldState
from backbones.adapters.stepping import Layout, call, whole_batch
from backbones.errors import InputError


class _Buffers:
    """Access by the buffers of each layer."""

    def __init__(self, module: nn.Module) -> None:
        from sinabs.layers import StatefulLayer

        self.places: dict[str, tuple[nn.Module, str]] = {}
        self.layers: list[Any] = [part for part in module.modules() if isinstance(part, StatefulLayer)]
        for path, layer in module.named_modules():
            if isinstance(layer, StatefulLayer):
                for name, _ in layer.named_buffers(recurse=False):
                    self.places[f"{path}.{name}".lstrip(".")] = (layer, name)

    def read(self) -> dict[str, Any]:
        return {where: getattr(layer, name) for where, (layer, name) in self.places.items()}

    def write(self, values: dict[str, Any]) -> None:
        for where, (layer, name) in self.places.items():
            setattr(layer, name, values[where])

    def reset(self) -> None:
        for layer in self.layers:
            layer.reset_states()


def default_time_axis(module: nn.Module) -> int | None:
    """1, or None where "squeeze" layers count the timesteps themselves and nothing flattens the time axis."""
    from sinabs.layers import FlattenTime, SqueezeMixin

    parts = list(module.modules())
    squeezed = any(isinstance(part, SqueezeMixin) for part in parts)
    return None if squeezed and not any(isinstance(part, FlattenTime) for part in parts) else 1


def make_stepper(module: nn.Module, example: Tensor, layout: Layout) -> HeldState:
    """The module with its layers' state in our hands.

    Raises:
        InputError: for layers that mix timesteps or rows, and what `HeldState` refuses.
    """
    from sinabs.layers import ALIFRecurrent, LIFRecurrent, SpikingMaxPooling2dLayer

    for path, part in module.named_modules():
        if isinstance(part, ALIFRecurrent | LIFRecurrent):
            raise InputError(
                f"Expected layers that keep all their state between calls, got {path or type(part).__name__}, a "
                f"{type(part).__name__}: it drops its recurrent spikes at the end of each call."
            )
        if isinstance(part, SpikingMaxPooling2dLayer):
            raise whole_batch(path or type(part).__name__, "a pooling that sums over the first axis as if it were time")

    def run(inputs: Tensor) -> Any:
        with _one_timestep(module, len(inputs)):
            return call(module, inputs)

    return HeldState("sinabs", module, _Buffers(module), layout, example, run)


@contextmanager
def _one_timestep(module: nn.Module, rows: int) -> Iterator[None]:
    """Meanwhile every layer that unfolds the time axis takes the inputs for `rows` rows of one timestep."""
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
