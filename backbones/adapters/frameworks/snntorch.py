"""snnTorch: state is the buffers of `SpikingNeuron`s that are not in `state_dict`; `reset_mem` resets them.

State may also be passed by hand, `forward(inputs, mem1, mem2)` or `forward(inputs, state)`.
`reset_hidden` and `snntorch.utils.reset` zero the layers of every model in the process; they are not used.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from backbones.adapters.held_state import BufferAccess, HeldState
from backbones.adapters.stepping import Layout, call, whole_batch
from backbones.errors import InputError, counted
from backbones.hooks import hooked
from backbones.state_tree import flatten, leaves_of, named_leaves, unflatten

PARALLEL = ("AssociativeLeaky", "LeakyKernel", "LeakyParallel", "LinearLeaky", "StateLeaky")
_MOST_STATES = 12


def _buffers_of(module: nn.Module) -> dict[str, Any]:
    """Arguments of `BufferAccess`."""
    import snntorch

    return {"module": module, "kind": snntorch.SpikingNeuron, "reset": "reset_mem", "saved": False}


class _ByHand(BufferAccess):
    """Access to the states that layers hold, and to those that `forward` takes and returns.

    The place of each state in the result follows from the layers: it is the result of the layer that was given the
    state; where that cannot be seen, the order decides. `states`: names of the states that `forward` takes, and whether
    they are None by default. An `InputError` for a module that does not start its states, or does not return all of
    them.
    """

    def __init__(self, module: nn.Module, states: dict[str, bool], example: Tensor) -> None:
        super().__init__(**_buffers_of(module))
        self.module, self.names, self.optional = module, list(states), list(states.values())
        self._begun = False
        kept = {where: value.clone() for where, value in super().read().items()}
        try:
            self._start, result, uses = self._first(example)
            self.where = self._find(example, result)
        finally:
            super().write(kept)
        self.others = [place for place in range(len(result)) if place not in self.where]
        returned = [() if place is None else result[place] for place in self.where]
        self._trees = [flatten(each)[1] for each in returned]
        self._keys: list[list[str]] = []
        self._initial: dict[str, Any] = {}
        for name, each in zip(self.names, returned, strict=True):
            leaves = {name + path: leaf for path, leaf in named_leaves(each).items()}
            self._keys.append(list(leaves))
            for key, leaf in leaves.items():
                before = next((before for before, after in uses if after is leaf), None)
                self._initial[key] = before if isinstance(before, Tensor) and before.numel() else None
                if not isinstance(leaf, Tensor):
                    raise InputError(f"Expected states of tensors, got {type(leaf).__name__} as {key}.")
        self._passed = dict(self._initial)

    def read(self) -> dict[str, Any]:
        return {**super().read(), **self._passed}

    def write(self, values: dict[str, Any]) -> None:
        super().write(values)
        self._passed, self._begun = {key: values[key] for key in self._passed}, True

    def reset(self) -> None:
        super().reset()
        self._passed, self._begun = dict(self._initial), False

    def run(self, inputs: Tensor, layout: Layout) -> Any:
        """The module's result of a timestep without its states, which are kept for the next one."""
        states = list(map(_begin, self._start))
        if self._begun:
            leaves = ([self._passed[key] for key in keys] for keys in self._keys)
            states = [unflatten(each, tree) for each, tree in zip(leaves, self._trees, strict=True)]
        result, self._begun = call(self.module, inputs, *states), True
        for place, keys in zip(self.where, self._keys, strict=True):
            if place is not None:
                self._passed.update(zip(keys, leaves_of(result[place]), strict=True))
        if callable(layout.output):
            return result
        if layout.output == "membrane":
            return (result[0], leaves_of(result)[-1])
        if layout.output == "spikes":
            return (result[self.others[0] if self.others else 0],)
        if len(self.others) != 1:
            raise InputError(
                f"Expected one output besides the states that {type(self.module).__name__} gives back, got "
                f"{len(self.others)} of {len(result)} values: choose it by output='spikes', 'membrane' or a function."
            )
        return result[self.others[0]]

    def _first(self, example: Tensor) -> tuple[list[Any], tuple[Any, ...], list[tuple[Any, Any]]]:
        """The states' start (None, or empty tensors to unpack), the module's result, and the layers' states."""
        starts: list[list[Any]] = [[None if may else 0 for may in self.optional], [None] * len(self.names)]
        if len(self.names) == 1:
            starts += [[count] for count in range(1, _MOST_STATES)]
        failure = None
        for start in starts:
            super().reset()
            try:
                result, uses = self._traced(example, list(map(_begin, start)))
            except InputError as error:
                failure = failure or error
                continue
            if isinstance(result, tuple | list) and len(result) > 1:
                return start, tuple(result), uses
            raise InputError(
                f"Expected {type(self.module).__name__} to give back the state that it takes ({self._takes}), got "
                f"{type(result).__name__}: {self._remedy}"
            )
        cause = failure.__cause__ if failure else None
        raise InputError(
            f"Expected forward(inputs, {self._takes}) of {type(self.module).__name__} to run one timestep and to take "
            f"nothing but states, which are None at first, but it raised {type(cause).__name__}: {cause}. Take numbers "
            "of timesteps and options out of forward, and start states that are None (mem = layer.reset_mem())."
        )

    def _find(self, example: Tensor, result: tuple[Any, ...]) -> list[int | None]:
        """The place of each state in the result; None for a state that `forward` does not use."""
        if len(self.names) == 1 and len(result) == 2:
            return [1]
        super().reset()
        traced = [torch.zeros(0) for _ in self.names]
        try:
            seen, uses = self._traced(example, traced)
        except InputError:
            seen, uses = (), []
        places: list[int | None] = []
        for state in traced:
            afters = [after for before, after in uses if before is state]
            places.append(max((i for i, value in enumerate(seen) if any(value is v for v in afters)), default=None))
        if len(result) == len(self.names) + 1:
            places = [i + 1 if place is None and i + 1 not in places else place for i, place in enumerate(places)]
        missing = [name for name, place in zip(self.names, places, strict=True) if place is None]
        if missing:
            unusable = [object() if at is None else each for at, each in zip(places, traced, strict=True)]
            try:
                self._traced(example, unusable)
            except InputError:
                raise InputError(
                    f"Expected {type(self.module).__name__} to give back every state that it takes ({self._takes}), "
                    f"got {counted(len(result), 'value')} without the next {' and '.join(missing)}: {self._remedy}"
                ) from None
        return places

    def _traced(self, example: Tensor, states: list[Any]) -> tuple[Any, list[tuple[Any, Any]]]:
        """The module's result; and of each state that a layer was given, that state and the next one."""
        uses: list[tuple[Any, Any]] = []

        def record(layer: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], result: Any) -> None:
            after = result if isinstance(result, tuple) else (result,)
            before = list(inspect.signature(layer.forward).bind(*arguments, **named).arguments.values())[1:]
            before = before[-len(after) :]
            uses.extend(zip(before, after[len(after) - len(before) :], strict=True))

        with hooked(self.layers, record, with_kwargs=True):
            return call(self.module, example, *states), uses

    @property
    def _takes(self) -> str:
        return ", ".join(self.names)

    @property
    def _remedy(self) -> str:
        return (
            f"end forward with `return spikes, {self._takes}`, or let the layers keep it (init_hidden=True, and "
            "forward(inputs) alone)."
        )


def _begin(start: int | None) -> Any:
    """None, a state of no rows yet (0), or that many of them to unpack."""
    if start is None:
        return None
    return [torch.zeros(0) for _ in range(start)] if start else torch.zeros(0)


def states_of(module: nn.Module) -> dict[str, bool]:
    """Names of `forward`'s arguments beside the inputs: without a default, or None by default (True)."""
    import snntorch

    if isinstance(module, snntorch.SpikingNeuron):
        return {}
    parameters = list(inspect.signature(module.forward).parameters.values())[1:]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    defaults = {each.name: each.default for each in parameters if each.kind in positional}
    return {
        name: default is None
        for name, default in defaults.items()
        if default is None or default is inspect.Parameter.empty
    }


def default_time_axis(module: nn.Module) -> int | None:
    """None: layers take one timestep."""
    return None


def make_stepper(module: nn.Module, example: Tensor, layout: Layout) -> HeldState:
    """The module with explicit state; an `InputError` for layers that need all timesteps at once or have no reset."""
    import snntorch

    for path, part in module.named_modules():
        name = type(part).__name__
        if name in PARALLEL and type(part).__module__.startswith(snntorch.__name__):
            raise whole_batch(path or name, f"a neuron ({name}) that takes all timesteps at once")
        if isinstance(part, snntorch.SpikingNeuron) and not hasattr(part, "reset_mem"):
            raise InputError(f"Expected neurons with reset_mem, got {path or name} ({name}), which cannot be reset.")
    states = states_of(module)
    if not states:
        return HeldState("snntorch", module, BufferAccess(**_buffers_of(module)), layout, example)
    try:
        access = _ByHand(module, states, layout.give(example))
        return HeldState("snntorch", module, access, layout, example, lambda inputs: access.run(inputs, layout))
    except InputError:
        if not all(states.values()):
            raise
        try:  # optional states may be held by the layers
            return HeldState("snntorch", module, BufferAccess(**_buffers_of(module)), layout, example)
        except InputError:
            pass
        raise
