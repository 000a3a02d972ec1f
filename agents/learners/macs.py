"""Multiplications and additions of a torch network, counted in one run.

macs = count_multiplications(network, lambda: network(torch.zeros(1, 6)))
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from backbones.hooks import hooked


def count_multiplications(network: nn.Module, run: Callable[[], Any]) -> int:
    """Multiplications and additions with the weights of the linear, convolutional and LSTM layers in `run`.

    Excludes biases, activations, products of gates and layers that `run` does not execute (a critic in `predict`).
    """
    total = 0

    def count(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal total
        if isinstance(module, nn.LSTM):
            steps = output[0].numel() // output[0].shape[-1]
            total += steps * sum(weight.numel() for name, weight in module.named_parameters() if "weight" in name)
        else:
            weight: Any = module.weight
            total += output.numel() * weight[0].numel()

    counted = nn.Linear | nn.Conv1d | nn.Conv2d | nn.LSTM
    with hooked((module for module in network.modules() if isinstance(module, counted)), count), torch.no_grad():
        run()
    return total
