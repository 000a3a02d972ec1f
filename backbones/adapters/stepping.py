"""One timestep of a framework's module as a function of inputs and state.

Letters: B rows, K classes, S the shape of a state variable of one row.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from backbones.errors import InputError, first_line, kind_of
from backbones.state_tree import flatten, leaves_of, map_leaves

Memory = Any
"""A tree of tensors `[B, S…]`: every state variable of every row."""

Output = Literal["spikes", "membrane"] | Callable[[Any], Tensor] | None
"""Part of the module's result that is the output: "spikes" (first of a tuple), "membrane" (last), a function."""


class Stepper(Protocol):
    """A module with explicit state."""

    framework: str
    module: nn.Module

    fresh: Memory
    """Tensors `[1, S…]`: the framework's own reset values."""

    state_names: frozenset[str]
    """Names in the module's `state_dict` that are state, not weights."""

    def step(self, inputs: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """One timestep: inputs `[B, …]` to the module's output `[B, K]` and the next state."""


class Layout:
    """Form of a module's inputs and result for one timestep.

    Args:
        time_axis: the axis on which the module expects time; None for a module that takes a single timestep.
        output: part of the result that is the output.
        timesteps: T.
    """

    def __init__(self, time_axis: int | None, output: Output, timesteps: int) -> None:
        self.time_axis, self.output, self.timesteps = time_axis, output, timesteps

    def give(self, inputs: Tensor) -> Tensor:
        """`[B, …]`, with a time axis of length 1 where the module expects one."""
        return inputs if self.time_axis is None else inputs.unsqueeze(self.time_axis)

    def take(self, result: Any, rows: int) -> Tensor:
        """`[B, K]` outputs in a module's result of one timestep, or an `InputError`."""
        output = self._part(result)
        if not isinstance(output, Tensor):
            raise InputError(f"Expected outputs [B, K] of a timestep, got {_kind(output)}: choose them by output=….")
        shape = list(output.shape)
        if self.time_axis is not None and output.dim() == 3 and shape[self.time_axis] == 1:
            output = output.squeeze(self.time_axis)
        if output.dim() != 2 or len(output) != rows or output.shape[1] < 2:
            expected = "B, K" if self.time_axis is None else ["1, B, K", "B, 1, K"][self.time_axis]
            whole = " A module that runs all timesteps in one call cannot be stepped: wrap the part that runs one."
            raise InputError(
                f"Expected outputs [{expected}] of one timestep for B = {rows} and at least 2 classes, got {shape}."
                + (whole if len(shape) > 2 else "")
            )
        if not output.is_floating_point():
            raise InputError(f"Expected outputs of floating point, got {output.dtype}: convert them by output=….")
        return output

    def agree(self, whole: Callable[[Tensor], Any], steps: Callable[[Tensor], Tensor], example: Tensor) -> None:
        """Refuse a module with a time axis whose T timesteps in one call (`whole`) are not T calls (`steps`: the mean).

        Most rows have to be close, not all equal: another batch shape rounds differently, which may flip a spike.
        """
        if self.time_axis is None or self.timesteps == 1:
            return
        axis = self.time_axis
        try:
            together = self._part(whole(self.give(example).repeat_interleave(self.timesteps, axis)))
        except InputError:
            return  # it takes no more than one timestep
        together = together.mean(axis) if together.dim() == 3 else together
        apart = steps(example)
        if together.shape == apart.shape:
            close = torch.isclose(together, apart, rtol=1e-3, atol=1e-4).all(1)
            if 2 * int(close.sum()) < len(close):
                raise InputError(
                    f"Expected {self.timesteps} single timesteps to give what all of them in one call do, but they "
                    "do not: a layer of the module mixes timesteps, or drops state between calls."
                )

    def _part(self, result: Any) -> Any:
        if callable(self.output):
            try:
                return self.output(result)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"Expected output to take the outputs [B, K] out of {_kind(result)}, but {error}."
                ) from error
        if isinstance(result, tuple | list):
            if self.output is None:
                raise InputError(
                    f"Expected one tensor of outputs, got {_kind(result)}: set output='spikes' (the first), "
                    "'membrane' (the last), or a function that takes the outputs [B, K] out of it."
                )
            return result[0 if self.output == "spikes" else -1]
        if self.output == "membrane":
            raise InputError(
                f"Expected (spikes, …, membrane) for output='membrane', got {_kind(result)}: let the last layer give "
                "its potentials (in snnTorch by output=True), or omit output."
            )
        return result


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    if isinstance(value, tuple | list):
        return f"{kind_of(value)} of {len(value)}"
    return type(value).__name__


def call(module: nn.Module, *arguments: Any) -> Any:
    """The module's result; its own errors become an `InputError`."""
    try:
        return module(*arguments)
    except InputError:
        raise
    except Exception as error:
        remedy = "check the shape of the inputs, and time_axis"
        kinds = {str(each.dtype).removeprefix("torch.") for each in module.parameters() if each.is_floating_point()}
        if kinds - {"float32"}:
            remedy = f"its weights are {' and '.join(sorted(kinds))}, inputs float32: wrap module.float()"
        elif arguments[1:] == (None,):
            remedy += "; its state is None at first"
        raise InputError(
            f"Expected {type(module).__name__} to run one timestep of inputs {list(arguments[0].shape)}, it raised "
            f"{type(error).__name__}: {first_line(error)}; {remedy}."
        ) from error


def same(one: Any, other: Any) -> bool:
    """Whether two trees are equal, bit for bit where they have tensors."""
    (ours, form), (theirs, other_form) = flatten(one), flatten(other)
    return form == other_form and all(map(_equal, ours, theirs))


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)


def whole_batch(name: str, what: str) -> InputError:
    """The error for state that belongs to the batch and not to its rows."""
    return InputError(
        f"Expected state of single rows only, got {name}, {what}: it belongs to the whole batch, so rows could not "
        "be refilled one by one. Replace that layer, or take it out of the module."
    )


def finite_outputs(outputs: Tensor, module: nn.Module) -> Tensor:
    """The outputs, or an `InputError` for NaN or infinity in them, or in the weights."""
    for name, weights in module.named_parameters():
        if not torch.isfinite(weights).all():
            raise InputError(
                f"Expected finite weights of {type(module).__name__}, got NaN or infinity in {name!r}: load others."
            )
    if not torch.isfinite(outputs).all():
        raise InputError(
            f"Expected finite outputs of {type(module).__name__}, got NaN or infinity at the first timestep: correct "
            "its forward, or scale the inputs."
        )
    return outputs


def check_start(stepper: Stepper, example: Tensor, first: Tensor, one: dict[str, Any], two: dict[str, Any]) -> None:
    """Refuse a module that does not start from its reset values, keeps other state, or drops its state.

    `first` `[B, K]` is the module's own output of its first timestep on `example` `[B, …]`; `one` and `two` are the
    state variables by name after a first and a second timestep.
    """
    before = _reset_memory(stepper, len(example))
    output, after = stepper.step(example, before)
    for (name, value), got in zip(one.items(), leaves_of(after), strict=True):
        if not same(got, value):
            raise InputError(
                f"Expected {name} after one timestep to follow from its reset value (zero, unless its layer has "
                "another), got other values: the module starts from another value (give its layer initial_state), "
                "changes the state that it is given in place, or draws at random."
            )
    kind = type(stepper.module).__name__
    if not same(output, first):
        raise InputError(
            f"Expected {kind} to be a function of inputs and the state that {stepper.framework} knows of, but from the "
            "reset state it gives other outputs: it draws at random, or keeps more state."
        )
    moved = any(not same(row, value) for row, value in zip(leaves_of(before), one.values(), strict=True))
    if moved and all(same(one[name], two[name]) for name in one):
        raise InputError(
            f"Expected {kind} to continue from its state, but it starts afresh in each call: remove the reset of its "
            "neurons from forward, or replace the layer that drops it."
        )


def _reset_memory(stepper: Stepper, rows: int) -> Memory:
    return map_leaves(lambda row: row.expand(rows, *row.shape[1:]), stepper.fresh)


def mean_of_steps(stepper: Stepper, inputs: Tensor, timesteps: int) -> Tensor:
    """`[B, K]` mean output of that many timesteps on the same inputs."""
    memory = _reset_memory(stepper, len(inputs))
    total, memory = stepper.step(inputs, memory)
    for _ in range(timesteps - 1):
        output, memory = stepper.step(inputs, memory)
        total = total + output
    return total / timesteps
