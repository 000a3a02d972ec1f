"""Check that one call of a module runs one timestep through each of its layers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from backbones.errors import InputError
from backbones.hooks import hooked
from backbones.state_tree import leaves_of


@contextmanager
def one_timestep(module: nn.Module, owners: frozenset[str] = frozenset()) -> Iterator[None]:
    """Refuse one call of the module inside the `with` that runs more than one timestep through a layer.

    A further timestep is a call of a layer that continues from the state of its last call: from its arguments, or held
    by the layer (`owners`: paths of the state variables). Layers with time on an axis have that axis in their output,
    beside the rows of their state.
    """
    after: dict[nn.Module, list[Tensor]] = {}
    counts: dict[nn.Module, int] = {}

    def count(layer: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], result: Any) -> None:
        before = _tensors([arguments[1:], named])
        own = held.get(layer, [])
        parts = result if isinstance(result, tuple) else (result,)
        output, states = _tensors(parts[:1]), _tensors(parts[1:])
        states += [value for name in own if isinstance(value := getattr(layer, name, None), Tensor)]
        continues = any(value is other for value in before for other in after.get(layer, [])) if before else bool(own)
        counts[layer] = counts[layer] + 1 if continues and layer in counts else counts.get(layer, 1)
        after.setdefault(layer, []).extend([*states, *output])
        if states and output and (own or not any(layer.children())):
            counts[layer] = max(counts[layer], _on_an_axis(output[0], max(states, key=Tensor.numel)))

    held: dict[nn.Module, list[str]] = {}
    for path, part in module.named_modules():
        names = {name[len(path) :].lstrip(".") for name in owners if name.startswith(f"{path}." if path else "")}
        if names := {name for name in names if hasattr(part, name)}:
            held[part] = sorted(names)
    with hooked(module.modules(), count, with_kwargs=True):
        yield
    for path, part in module.named_modules():
        if counts.get(part, 1) > 1:
            raise InputError(
                f"Expected one timestep in a call of {type(module).__name__}, got {counts[part]} through "
                f"{path or 'itself'} ({type(part).__name__}), and a module that runs all timesteps in one call cannot "
                "be stepped: remove the loop or the repeat over time and the reset of its neurons from forward, and if "
                "its layers expect a time axis, name it by time_axis=…."
            )


def _on_an_axis(output: Tensor, state: Tensor) -> int:
    """Timesteps of an output `[T, B, …]`, `[B, T, …]` or `[B·T, …]` beside its state `[B, S…]`."""
    if output.dim() == state.dim() + 1 >= 2:
        ahead, behind = output.shape[1] == len(state), output.shape[0] == len(state)
        return output.shape[0] if ahead else output.shape[1] if behind else 1
    return max(1, len(output) // max(1, len(state))) if output.dim() == state.dim() >= 1 else 1


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in leaves_of(values) if isinstance(leaf, Tensor)]
