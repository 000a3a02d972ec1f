"""snnTorch: state is the buffers of `SpikingNeuron`s that `state_dict` leaves out, which `reset_mem` resets.

`reset_hidden` and `snntorch.utils.reset` zero the layers of every model in the process; they are not used.
"""

from typing import Any

from torch import Tensor, nn

from backbones.adapters.held_state import HeldState
from backbones.adapters.stepping import Layout, whole_batch
from backbones.errors import InputError

PARALLEL = ("AssociativeLeaky", "LeakyKernel", "LeakyParallel", "LinearLeaky", "StateLeaky")


class _HiddenBuffers:
    """Access by the buffers of each layer."""

    def __init__(self, module: nn.Module) -> None:
        import snntorch

        self.places: dict[str, tuple[nn.Module, str]] = {}
        for path, layer in module.named_modules():
            if isinstance(layer, snntorch.SpikingNeuron):
                saved = layer.state_dict()
                for name, _ in layer.named_buffers(recurse=False):
                    if name not in saved:
                        self.places[f"{path}.{name}".lstrip(".")] = (layer, name)
        self.layers: list[Any] = list({id(layer): layer for layer, _ in self.places.values()}.values())

    def read(self) -> dict[str, Any]:
        return {where: getattr(layer, name) for where, (layer, name) in self.places.items()}

    def write(self, values: dict[str, Any]) -> None:
        for where, (layer, name) in self.places.items():
            setattr(layer, name, values[where])

    def reset(self) -> None:
        for layer in self.layers:
            layer.reset_mem()


def default_time_axis(module: nn.Module) -> int | None:
    """None: layers take one timestep."""
    return None


def make_stepper(module: nn.Module, example: Tensor, layout: Layout) -> HeldState:
    """The module with its layers' state in our hands.

    Raises:
        InputError: for layers that need all timesteps at once or keep state elsewhere, and what `HeldState` refuses.
    """
    import snntorch

    for path, part in module.named_modules():
        name = type(part).__name__
        if name in PARALLEL and type(part).__module__.startswith(snntorch.__name__):
            raise whole_batch(path or name, f"a neuron ({name}) that takes all timesteps at once")
        if isinstance(part, snntorch.SpikingNeuron) and not hasattr(part, "reset_mem"):
            raise InputError(f"Expected neurons with reset_mem, got {path or name} ({name}), which cannot be reset.")
    return HeldState("snntorch", module, _HiddenBuffers(module), layout, example)
