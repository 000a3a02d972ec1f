"""SpikingJelly: state is the memories of `base.MemoryModule`s; `named_memories` lists and `reset` resets them.

Layers in step mode "m" get time on axis 0, of length 1.
"""

from typing import Any

from torch import Tensor, nn

from backbones.adapters.held_state import HeldState
from backbones.adapters.stepping import Layout, whole_batch


class _Memories:
    """Access by the framework's registry of memories."""

    def __init__(self, module: nn.Module) -> None:
        from spikingjelly.activation_based import base

        self.base, self.module = base, module

    def read(self) -> dict[str, Any]:
        return dict(self.base.named_memories(self.module))

    def write(self, values: dict[str, Any]) -> None:
        self.base.load_memories(self.module, [values[name] for name in self.read()])

    def reset(self) -> None:
        for part in self.module.modules():
            if isinstance(part, self.base.MemoryModule):
                part.reset()


def default_time_axis(module: nn.Module) -> int | None:
    """0 where a layer is in step mode "m", or has no other."""
    from spikingjelly.activation_based import base

    parts = [part for part in module.modules() if isinstance(part, base.StepModule)]
    modes = [getattr(part, "step_mode", "m" if isinstance(part, base.MultiStepModule) else "s") for part in parts]
    return 0 if "m" in modes else None


def make_stepper(module: nn.Module, example: Tensor, layout: Layout) -> HeldState:
    """The module with explicit state; an `InputError` for layers that need all timesteps at once."""
    from spikingjelly.activation_based import layer, neuron

    for path, part in module.named_modules():
        name = type(part).__name__
        if isinstance(part, neuron.PSN | neuron.MaskedPSN | neuron.SlidingPSN):
            raise whole_batch(path or name, f"a parallel neuron ({name}) that mixes timesteps through a queue")
        if name.startswith("TemporalEffectiveBatchNorm") and type(part).__module__.startswith(layer.__name__):
            raise whole_batch(path or name, f"a norm ({name}) with a scale for each timestep")
    return HeldState("spikingjelly", module, _Memories(module), layout, example)
