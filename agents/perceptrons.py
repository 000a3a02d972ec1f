"""Several small networks of one shape as one: an ensemble costs little more than a member.

Letters: M members, B rows, F columns, D columns of the bottleneck, H hidden units.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor


def make_perceptrons(
    inputs: int,
    *,
    members: int,
    hidden: Sequence[int],
    outputs: int = 1,
    squeezed: int = 0,
    bottleneck: int = 0,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Weights of M networks: `weight_i` `[M, in, out]`, `bias_i` `[M, 1, out]`; the last layer starts at zero.

    Args:
        inputs: F.
        members: M.
        hidden: H of each hidden layer.
        outputs: of each network.
        squeezed: the last so many inputs go through a linear bottleneck first …
        bottleneck: … of D columns; 0 leaves them as they are.
        seed: of the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    if squeezed and bottleneck:
        weights["squeeze"] = _random(generator, members, squeezed, bottleneck)
        inputs = inputs - squeezed + bottleneck
    sizes = [inputs, *hidden, outputs]
    for layer, (size, out) in enumerate(pairwise(sizes)):
        last = layer == len(sizes) - 2
        weights[f"weight_{layer}"] = (0.0 if last else 1.0) * _random(generator, members, size, out)
        weights[f"bias_{layer}"] = torch.zeros(members, 1, out)
    return weights


def run_perceptrons(weights: Mapping[str, Tensor], columns: Tensor, dropout: float = 0.0) -> Tensor:
    """`[M, B, outputs]` of columns `[B, F]`; `dropout` is of the squeezed columns (while training)."""
    squeeze = weights.get("squeeze")
    hidden: Tensor = columns
    if squeeze is not None:
        plain = columns.shape[-1] - squeeze.shape[1]
        wide = torch.nn.functional.dropout(columns[:, plain:], dropout, training=dropout > 0)
        narrow = torch.matmul(wide, squeeze)
        hidden = torch.cat([columns[:, :plain].expand(len(squeeze), -1, -1), narrow], dim=-1)
    layers = sum(name.startswith("weight_") for name in weights)
    for layer in range(layers):
        hidden = torch.matmul(hidden, weights[f"weight_{layer}"]) + weights[f"bias_{layer}"]
        if layer < layers - 1:
            hidden = torch.tanh(hidden)
    return hidden


def count_macs(weights: Mapping[str, Tensor]) -> int:
    """Multiplications and additions of all members for one row."""
    return sum(tensor.numel() for name, tensor in weights.items() if name.startswith(("weight_", "squeeze")))


def _random(generator: torch.Generator, members: int, size: int, out: int) -> Tensor:
    return torch.randn(members, size, out, generator=generator) / max(size, 1) ** 0.5
