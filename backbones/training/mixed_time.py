"""Mixed time-step training, MTT: every stage of the network runs its own number of timesteps.

times = draw_times(stages, T_max, seed=…, step=…)       # one number a stage
outputs = forward_mixed(network, images, keys, times)   # [T of the last stage, B, K]

Du, Wu, Deng & Gu, "Temporal Flexibility in Spiking Neural Networks", ICLR 2025 (arXiv 2503.17394), and its authors'
code. A stage is a residual block (in networks with wider stages, the stage), or a convolution with its neuron in plain
networks. A stage with fewer timesteps than the one before gets sums of neighbouring timesteps' spikes; one with more
gets repetitions.

Letters: T timesteps, B rows, K classes, G stages.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backbones.errors import InputError, kind_of
from backbones.hooks import hooked
from backbones.networks.feedforward import PlainBody, SmallBody
from backbones.networks.network import SpikingNetwork, TimeFire
from backbones.networks.residual import BlockStage, ResidualBody

MTT_STREAM, RANDOM_T_STREAM = 1, 2


def stage_heads(network: SpikingNetwork) -> list[nn.Module]:
    """The first modules of stages 2 to G; an `InputError` for a network of unknown stages."""
    body = network.body
    if isinstance(body, ResidualBody):
        stages: list[nn.Module] = []
        for stage in body.stages:
            stages += list(stage.blocks) if isinstance(stage, BlockStage) else [stage]
        return stages[1:]  # the first shares its timesteps with the neuron before it
    if isinstance(body, PlainBody):
        return list(body.layers)
    if isinstance(body, SmallBody):
        return [body.conv]
    raise InputError(f"Expected a network whose stages are known to mix timesteps, got {kind_of(body)}.")


def draw_times(stages: int, most: int, *, seed: int, step: int, sample: int = 0) -> list[int]:
    """`[G]` timesteps of each stage, uniform in 1…`most`; a pure function of (seed, step, sample)."""
    rng = np.random.default_rng([seed, step, MTT_STREAM, sample])
    return [int(T) for T in rng.integers(1, most + 1, stages)]


def draw_timesteps(most: int, *, seed: int, step: int) -> int:
    """Timesteps of the whole network, uniform in 1…`most`; a pure function of (seed, step)."""
    return int(np.random.default_rng([seed, step, RANDOM_T_STREAM]).integers(1, most + 1))


def groups(before: int, after: int) -> list[list[int]]:
    """The timesteps of `before` that each of `after` timesteps takes: neighbours, as evenly as possible."""
    fewer, more = min(before, after), max(before, after)
    # Halves round down, so that the first group is not the longer one.
    ends = [int(np.ceil((i + 1) * more / fewer - 0.5)) for i in range(fewer)]
    spans = [list(range(begin, end)) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
    if after <= before:
        return spans
    return [[i] for i, span in enumerate(spans) for _ in span]


def change_time(spikes: Tensor, before: int, after: int) -> Tensor:
    """`[T·B, …]` of `before` timesteps to `after`: sums of neighbours, or repetitions."""
    if before == after:
        return spikes
    steps = spikes.view(before, -1, *spikes.shape[1:])
    taken = [steps[group[0]] if len(group) == 1 else steps[group].sum(0) for group in groups(before, after)]
    return torch.cat(taken)


def forward_mixed(network: SpikingNetwork, images: Tensor, keys: Tensor | None, times: list[int]) -> Tensor:
    """`[T of the last stage, B, K]` outputs, differentiable; an `InputError` for another number of stages."""
    heads = stage_heads(network)
    if len(times) != len(heads) + 1:
        raise InputError(f"Expected timesteps of {len(heads) + 1} stages, got {len(times)}.")
    fire = TimeFire(times[0], len(images), network.compiled)

    remaining = iter(times[1:])

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        before, fire.timesteps = fire.timesteps, next(remaining)
        return (change_time(inputs[0], before, fire.timesteps), *inputs[1:])

    with hooked(heads, enter, before=True):
        return network(images, keys, times[0], fire=fire)
