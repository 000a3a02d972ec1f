"""The plain form of a spiking network, which also runs over all timesteps at once for training.

    network = SpikingNetwork(config, stem=…, body=…, head=…)
    outputs = network(images)                                 # training: [T, B, K], one output a timestep
    logits, state = network.step(network.start(images))       # inference: the running mean, explicit state

Letters: B rows, T timesteps, K classes.
"""

from typing import Any

import torch
from torch import Tensor, nn

from backbones.contract.inputs import as_tensor
from backbones.networks.inference.inference_network import InferenceNetwork
from backbones.networks.inference.optimization import optimize
from backbones.networks.kernels.neuron_over_time import fire_over_time
from backbones.networks.neurons.neuron import LIF
from backbones.networks.stepped_network import SteppedNetwork


class TimeFire:
    """A body's `fire` for all timesteps: `[T·B, …]` currents (or `[B, …]`, constant in time) to `[T·B, …]` spikes."""

    def __init__(self, timesteps: int, batch: int, compiled: bool) -> None:
        self.timesteps, self.batch, self.compiled = timesteps, batch, compiled

    def __call__(self, neuron: LIF, current: Tensor) -> Tensor:
        """Spikes of one layer; the calls of a network come in the order of its layers."""
        static = len(current) == self.batch
        return fire_over_time(neuron, current, self.timesteps, static=static, compiled=self.compiled)


class SpikingNetwork(SteppedNetwork):
    """A `SteppedNetwork` with a differentiable pass over all timesteps."""

    def __init__(self, config: dict[str, Any], stem: nn.Module, body: nn.Module, head: nn.Module) -> None:
        super().__init__(config, stem, body, head)
        self.compiled = False
        """Whether `forward` computes neurons by `torch.compile`; set while training."""

    def forward(
        self,
        inputs: Tensor,
        keys: Tensor | None = None,
        timesteps: int | None = None,
        *,
        fire: TimeFire | None = None,
    ) -> Tensor:
        """`[T, B, K]` the output of each timestep by itself, differentiable.

        `fire` replaces the plain pass over time, and may change the number of timesteps between layers.
        """
        T = timesteps or self.timesteps
        fire = fire or TimeFire(T, len(inputs), self.compiled)
        inputs, keys = self._prepare(as_tensor(inputs, "inputs"), keys)
        B = len(inputs)
        if self.encoding.static:
            self._set_timesteps(None)
            current = self.stem(self.encoding(inputs, keys, keys))
        else:
            times = [torch.full_like(keys, t) for t in range(1, T + 1)]
            self._set_timesteps(torch.cat(times) - 1, T)
            current = self.stem(torch.cat([self.encoding(inputs, keys, t) for t in times]))
        self._set_timesteps(torch.arange(T, device=self.device).repeat_interleave(B), T)
        outputs: Tensor = self.head(self.body(current, fire))
        return outputs.view(fire.timesteps, B, self.num_classes)

    def optimize(self, **settings: Any) -> InferenceNetwork:
        """The network in a form for inference, checked on calibration data; see `optimization.optimize`."""
        return optimize(self, **settings)
