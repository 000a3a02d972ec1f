"""Explicit state of modules whose layers hold it: written before each timestep, read after it."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from backbones.adapters.stepping import (
    Layout,
    call,
    check_start,
    finite_outputs,
    mean_of_steps,
    same,
    whole_batch,
)
from backbones.adapters.timestep_count import one_timestep
from backbones.adapters.undeclared_state import constants_of, copied, refuse_changes, rows_alike
from backbones.errors import InputError, kind_of

Memory = dict[str, Tensor]
"""`[B, S…]` by the path of the state variable."""


class Access(Protocol):
    """Reading, writing and resetting the state variables of one module."""

    def read(self) -> dict[str, Any]:
        """Every state variable by its path, as the framework holds it: tensors, numbers, lists, None."""

    def write(self, values: dict[str, Any]) -> None:
        """Write all state variables."""

    def reset(self) -> None:
        """Reset every layer."""


class BufferAccess:
    """State variables that are buffers of the layers of one class, which its method `reset` resets; the `state_dict`
    has these buffers too where they are `saved`.
    """

    def __init__(self, module: nn.Module, kind: type[nn.Module], reset: str, *, saved: bool) -> None:
        self.places: dict[str, tuple[nn.Module, str]] = {}
        for path, layer in module.named_modules():
            if isinstance(layer, kind):
                weights = {} if saved else layer.state_dict()
                for name, _ in layer.named_buffers(recurse=False):
                    if name not in weights:
                        self.places[f"{path}.{name}".lstrip(".")] = (layer, name)
        self.layers: list[Any] = list({id(layer): layer for layer, _ in self.places.values()}.values())
        self._reset = reset

    def read(self) -> dict[str, Any]:
        """See `Access.read`."""
        return {where: getattr(layer, name) for where, (layer, name) in self.places.items()}

    def write(self, values: dict[str, Any]) -> None:
        """See `Access.write`."""
        for where, (layer, name) in self.places.items():
            setattr(layer, name, values[where])

    def reset(self) -> None:
        """See `Access.reset`."""
        for layer in self.layers:
            getattr(layer, self._reset)()


class HeldState:
    """A `Stepper` of a module in evaluation mode that holds its state, which is restored after each call.

    The state is found with `example`, `[B, …]` at least 2 inputs; `run` runs a timestep (default: the module itself).
    """

    def __init__(
        self,
        framework: str,
        module: nn.Module,
        access: Access,
        layout: Layout,
        example: Tensor,
        run: Callable[[Tensor], Any] | None = None,
    ) -> None:
        self.framework, self.module, self.access, self.layout = framework, module, access, layout
        self._run = run or (lambda inputs: call(module, inputs))
        self.state_names = frozenset(access.read())
        if not self.state_names:
            raise InputError(
                f"Expected a module with spiking layers of {framework}, got {type(module).__name__} without any: "
                "nothing in it keeps state from one timestep to the next."
            )
        kept = self._read()
        try:
            self._find_state(example)
        finally:
            access.write(kept)

    def step(self, inputs: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """One timestep. See `Stepper.step`."""
        kept = self.access.read()
        # Copies: a layer may write into its state.
        self.access.write({**self._constant, **{name: value.clone() for name, value in memory.items()}})
        try:
            result = self._run(self.layout.give(inputs))
            after = self.access.read()
            return self.layout.take(result, len(inputs)), {name: after[name] for name in memory}
        finally:
            self.access.write(kept)

    def _read(self) -> dict[str, Any]:
        """Copies of `Access.read`: layers change tensors and lists in place."""
        return {name: copied(value) for name, value in self.access.read().items()}

    def _find_state(self, example: Tensor) -> None:
        B = len(example)
        inputs = self.layout.give(example)
        self.access.reset()
        raw = self._read()
        with one_timestep(self.module, self.state_names):
            result = self._run(inputs)
        first = finite_outputs(self.layout.take(result, B), self.module)
        one, constants = self._read(), constants_of(self.module, self.framework, self.state_names)
        self.layout.take(self._run(inputs), B)
        two = self._read()
        refuse_changes(constants, constants_of(self.module, self.framework, self.state_names))
        self.access.reset()
        larger = torch.cat([example, example[:1]])
        self.layout.take(self._run(self.layout.give(larger)), B + 1)
        sizes = self._read()
        self._constant: dict[str, Any] = {}
        rows: dict[str, Tensor] = {}
        for name, value in one.items():
            if isinstance(value, Tensor) and value.shape[:1] == (B,) and sizes[name].shape[:1] == (B + 1,):
                rows[name] = value
            elif same(raw[name], value) and same(value, two[name]):
                self._constant[name] = value
            else:
                raise whole_batch(name, f"{kind_of(value)} that changes with time")
        if not rows:
            raise InputError(
                f"Expected {type(self.module).__name__} to use its spiking layers, but none of "
                f"{', '.join(sorted(self.state_names))} became a state of the rows in a timestep."
            )
        self.access.reset()  # at the larger batch: rows of the reset values have the layers' own shapes now
        self.fresh = {name: _reset_rows(name, self.access.read()[name], value) for name, value in rows.items()}
        check_start(self, example, first, rows, two)
        self.access.reset()
        self.layout.agree(self._run, lambda inputs: mean_of_steps(self, inputs, self.layout.timesteps), example)


def _reset_rows(name: str, reset: Any, like: Tensor) -> Tensor:
    """`[1, S…]` of a reset value: a number, a tensor of equal rows, or None, which is tried as zero."""
    row = like[:1]
    if reset is None:
        return torch.zeros_like(row)
    if isinstance(reset, bool | int | float):
        return torch.full_like(row, reset)
    if isinstance(reset, Tensor) and reset.shape[1:] == row.shape[1:] and len(reset) and rows_alike(reset):
        return reset[:1].detach().clone()
    if isinstance(reset, Tensor) and reset.dim() == 0:
        return torch.full_like(row, reset.item())
    raise whole_batch(name, f"whose reset value ({type(reset).__name__}) is not one for each row")
