"""Explicit state of modules that take and return it: `output, state = module(inputs, state)`."""

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from backbones.adapters.stepping import Layout, call, check_start, finite_outputs, mean_of_steps, same, whole_batch
from backbones.adapters.timestep_count import one_timestep
from backbones.adapters.undeclared_state import constants_of, refuse_changes
from backbones.errors import InputError, kind_of
from backbones.hooks import hooked
from backbones.state_tree import flatten, leaves_of, map_leaves, named_leaves, unflatten

Memory = list[Tensor]
"""`[B, S…]` the tensors of the state, in the order of its tree."""


class PassedState:
    """A `Stepper` of a module `(inputs, state) -> (output, state)` in evaluation mode that starts from state None.

    A layer's reset values are those of its own `state_fallback` or `initial_state` for its inputs, and zero where it
    has neither; the module is tried for starting from them, with `example`, `[B, …]` at least 2 inputs.
    """

    state_names: frozenset[str] = frozenset()

    def __init__(self, framework: str, module: nn.Module, example: Tensor, layout: Layout) -> None:
        self.framework, self.module, self.layout = framework, module, layout
        B = len(example)
        try:
            signature(module.forward).bind(example, None)
        except TypeError as error:
            raise InputError(
                f"Expected a module that is called once a timestep, `outputs, state = module(inputs, state)` with "
                f"state None at first, got {type(module).__name__}.forward{signature(module.forward)}: let it take and "
                "return its state."
            ) from error
        with one_timestep(module):
            started = call(module, layout.give(example), None)
        output, state = self._pair(started)
        first = finite_outputs(layout.take(output, B), module)
        one, self._tree = flatten(_detached(state))
        if not any(isinstance(leaf, Tensor) for leaf in one):
            raise InputError(
                f"Expected a module with spiking layers of {framework}, got {type(module).__name__} without any: "
                "the state that it gives back is empty."
            )
        names = [f"state{path}" for path in named_leaves(state)]
        for name, leaf in zip(names, one, strict=True):
            if isinstance(leaf, Tensor) and leaf.dim() and len(leaf) != B:
                raise whole_batch(name, f"{_shown(leaf)} without a row for each of {B} inputs")
        constants = constants_of(module, framework, self.state_names)
        _, again = self._call(example, unflatten(one, self._tree))
        two, tree = flatten(again)
        refuse_changes(constants, constants_of(module, framework, self.state_names))
        if tree != self._tree:
            raise InputError(f"Expected a state of one form at every timestep, {type(module).__name__} changes it.")
        larger, _ = flatten(self._call(torch.cat([example, example[:1]]), None)[1])
        self._constant: dict[int, Any] = {}
        for i, leaf in enumerate(one):
            if isinstance(leaf, Tensor) and leaf.shape[:1] == (B,) and larger[i].shape[:1] == (B + 1,):
                continue
            if not same(leaf, two[i]):
                raise whole_batch(names[i], f"{_shown(leaf)} that changes with time")
            self._constant[i] = leaf
        initial = self._initial(example)
        self.fresh = [value for i, value in enumerate(initial) if i not in self._constant]
        rows = [i for i in range(len(one)) if i not in self._constant]
        before, after = ({names[i]: leaves[i] for i in rows} for leaves in (one, two))
        check_start(self, example, first, before, after)
        layout.agree(
            lambda inputs: self._pair(call(module, inputs, None))[0],
            lambda inputs: mean_of_steps(self, inputs, layout.timesteps),
            example,
        )

    def step(self, inputs: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """One timestep. See `Stepper.step`."""
        rest = iter(memory)
        count = len(memory) + len(self._constant)
        # Copies in new containers: modules write into the lists that they are given.
        leaves = [self._constant[i] if i in self._constant else next(rest).clone() for i in range(count)]
        output, state = self._call(inputs, unflatten(leaves, self._tree))
        after = flatten(_detached(state))[0]
        return output, [leaf for i, leaf in enumerate(after) if i not in self._constant]

    def _call(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, state = self._pair(call(self.module, self.layout.give(inputs), state))
        return self.layout.take(output, len(inputs)), state

    def _pair(self, result: Any) -> tuple[Any, Any]:
        if not isinstance(result, tuple) or len(result) != 2:
            raise InputError(
                f"Expected (output, state) of {type(self.module).__name__}(inputs, state), got "
                f"{type(result).__name__}: the module has to run one timestep in each call and hand its state on."
            )
        return result

    def _initial(self, example: Tensor) -> list[Tensor]:
        """`[1, S…]` for each tensor of the state (any number for the others)."""
        started: dict[int, tuple[Tensor, Any]] = {}

        def record(layer: nn.Module, arguments: tuple[Any, ...], named: Any, result: Any) -> None:
            start = getattr(layer, "state_fallback", None) or getattr(layer, "initial_state", None)
            if callable(start) and isinstance(result, tuple) and len(result) == 2:
                after, before = leaves_of(result[1]), leaves_of(start(arguments[0]))
                if len(after) == len(before):
                    started.update({id(leaf): (leaf, value) for leaf, value in zip(after, before, strict=True)})

        with hooked(self.module.modules(), record, with_kwargs=True):
            state = self._call(example, None)[1]
        initial = []
        for leaf in leaves_of(state):
            if not isinstance(leaf, Tensor):
                initial.append(torch.zeros(1))
                continue
            _, before = started.get(id(leaf), (leaf, torch.zeros((), dtype=leaf.dtype, device=leaf.device)))
            initial.append(torch.as_tensor(before).detach().expand(leaf.shape)[:1].to(leaf.dtype).clone())
        return initial


def _detached(state: Any) -> Any:
    return map_leaves(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, state)


def _shown(leaf: Any) -> str:
    return f"a tensor {list(leaf.shape)}" if isinstance(leaf, Tensor) else kind_of(leaf)
