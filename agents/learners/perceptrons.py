"""Multilayer perceptrons with tanh, as dictionaries of tensors.

Letters: B rows, F columns, H hidden units.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from backbones import InputError


def make_perceptron(inputs: int, *, hidden: Sequence[int], seed: int = 0) -> dict[str, Tensor]:
    """Initial `weight_i` `[in, out]` and `bias_i` `[out]` for F inputs and one output; the last ones are zero."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    for layer, (size, out) in enumerate(pairwise([inputs, *hidden, 1])):
        drawn = torch.randn(size, out, generator=generator) / max(size, 1) ** 0.5
        weights[f"weight_{layer}"] = torch.zeros_like(drawn) if layer == len(hidden) else drawn
        weights[f"bias_{layer}"] = torch.zeros(out)
    return weights


def check_perceptron(weights: Mapping[str, Tensor], inputs: int) -> None:
    """Raise an `InputError` for weights that are not those of a perceptron of F = `inputs` with one output."""
    size = inputs
    expected: dict[str, tuple[int, ...]] = {}
    for layer in range(len(weights) // 2):
        out = weights.get(f"bias_{layer}", torch.empty(1)).numel()
        expected |= {f"weight_{layer}": (size, out), f"bias_{layer}": (out,)}
        size = out
    given = {name: tuple(weight.shape) for name, weight in weights.items()}
    if given != expected or size != 1 or any(weight.dtype != torch.float32 for weight in weights.values()):
        raise InputError(
            f"Expected float32 weights of a perceptron with {inputs} inputs and one output (weight_0 [{inputs}, H], "
            f"bias_0 [H], …), got {given}: train the policy anew."
        )


def run_perceptron(weights: Mapping[str, Tensor], columns: Tensor) -> Tensor:
    """`[B]` outputs for columns `[B, F]`."""
    layers = sum(name.startswith("weight_") for name in weights)
    hidden = columns
    for layer in range(layers):
        # A batched product of one: a plain product rounds differently and changes the answers of saved policies.
        hidden = torch.matmul(hidden, weights[f"weight_{layer}"][None]) + weights[f"bias_{layer}"]
        if layer < layers - 1:
            hidden = torch.tanh(hidden)
    return hidden[0, :, 0]
