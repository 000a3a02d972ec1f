"""Random small networks: conversion, inference form and export compute the module's logits, or refuse."""

from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

import backbones as bb
from backbones.conversion.converter import convert
from backbones.conversion.qcfs_modules import read_staircase
from backbones.conversion.tracing import trace
from backbones.networks import SpikingNetwork
from backbones.onnx_export import network_files

T = 4


class Quantised(nn.Module):
    """A QCFS activation of a user's own."""

    def __init__(self, levels: int, threshold: float) -> None:
        super().__init__()
        self.levels, self.threshold = levels, nn.Parameter(torch.tensor([threshold]))

    def forward(self, x: Tensor) -> Tensor:
        part = torch.clamp(x / self.threshold, 0, 1)
        return torch.floor(part * self.levels + 0.5) / self.levels * self.threshold


class Residual(nn.Module):
    """A branch and a shortcut, added or side by side, before or after the activation."""

    def __init__(self, branch: nn.Module, activation: nn.Module, kind: str) -> None:
        super().__init__()
        self.branch, self.activation, self.kind = branch, activation, kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "first":
            return self.branch(self.activation(x)) + x
        if self.kind == "beside":
            return torch.cat([x, self.activation(self.branch(x))], 1)
        return self.activation(self.branch(x) + x)


class Random:
    """Draws a network: numbers of one seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.levels = self.one_of(None, None, None, 4, 8)

    def below(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self.generator))

    def one_of(self, *choices: Any) -> Any:
        return choices[self.below(len(choices))]

    def activation(self) -> nn.Module:
        if self.levels is None:
            return nn.ReLU(inplace=self.one_of(False, True))
        return Quantised(self.levels, 0.3 + self.below(100) / 50)

    def norm(self, channels: int) -> nn.Module:
        kind = self.one_of("none", "norm", "norm", "affine=False")
        if kind == "none":
            return nn.Identity()
        norm = nn.BatchNorm2d(channels, affine=kind == "norm")
        nn.init.normal_(norm.running_mean, 0, 0.2, self.generator)
        nn.init.uniform_(norm.running_var, 0.3, 1.2, self.generator)
        return norm

    def conv(self, before: int, after: int) -> nn.Module:
        size = self.one_of(1, 3, (3, 1))
        conv = nn.Conv2d(before, after, size, padding="same", bias=self.one_of(True, False))
        if self.below(8) == 0:
            conv = self.one_of(nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm)(conv)
        return conv

    def pool(self) -> nn.Module:
        size = 2 + self.below(2)
        if self.below(4) == 0:
            return nn.MaxPool2d(size, ceil_mode=self.one_of(True, False))
        divisor, padding = self.one_of(None, None, None, 3), self.one_of(0, 0, 1)
        return nn.AvgPool2d(size, 2, padding, self.one_of(True, False), self.one_of(True, False), divisor)

    def module(self) -> tuple[nn.Module, Tensor]:
        """A module in evaluation, and images `[8, C, H, W]`."""
        shape = (self.one_of(1, 3), 9 + self.below(5), 9 + self.below(5))
        images = torch.randint(256, (8, *shape), dtype=torch.uint8, generator=self.generator)
        layers, channels, pools = [], shape[0], 2
        for _ in range(self.below(4)):
            width = 3 + self.below(8)
            early = [self.pool()] if pools and self.below(6) == 0 else []
            layers += [self.conv(channels, width), *early, self.norm(width)]
            layers += [self.activation()] if self.below(4) else []
            channels = width
            if self.below(3) == 0:
                kind = self.one_of("first", "beside", "last")
                branch = nn.Sequential(self.conv(channels, channels), self.norm(channels))
                layers.append(Residual(branch, self.activation(), kind))
                channels *= 2 if kind == "beside" else 1
            pools -= len(early)
            if pools and self.below(2) == 0:
                layers.append(self.pool())
                pools -= 1
        layers += [nn.AdaptiveAvgPool2d(self.one_of(1, 2, 3))] * self.below(2) + [nn.Flatten()]
        while self.below(2) or not any(isinstance(part, nn.ReLU | Quantised) for part in layers):
            width = 4 + self.below(14)
            norm = [nn.BatchNorm1d(width)] if self.below(3) == 0 else []
            layers += [nn.LazyLinear(width), *norm, self.activation(), nn.Dropout(0.5)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.below(1000))
            module = nn.Sequential(*layers, nn.LazyLinear(3 + self.below(9))).eval()
            module(images[:1] / 255)
        return module, images


class Spiking(fx.Interpreter):
    """A traced module over time, written anew: its activations are IF neurons, its replaced pools averages."""

    def __init__(self, module: nn.Module, thresholds: list[float]) -> None:
        class Tracer(fx.Tracer):
            def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
                return isinstance(m, Quantised) or super().is_leaf_module(m, module_qualified_name)

        super().__init__(fx.GraphModule(module, Tracer().trace(module)))
        self.thresholds, self.potentials, self.at, self.spiked = thresholds, {}, 0, set()

    def run_node(self, n: fx.Node) -> Any:
        part = self.submodules.get(n.target) if n.op == "call_module" else None
        moves = bool(self.spiked & set(n.all_input_nodes))
        if moves or isinstance(part, nn.ReLU | Quantised):
            self.spiked.add(n)
        if isinstance(part, nn.ReLU | Quantised):
            threshold = self.thresholds[self.at]
            self.at += 1
            v = self.potentials.get(n, threshold / 2) + self.env[n.all_input_nodes[0]]
            spikes = threshold * (v >= threshold).float()
            self.potentials[n] = v - spikes
            return spikes
        if isinstance(part, nn.MaxPool2d) and moves:
            part = nn.AvgPool2d(part.kernel_size, part.stride, 0, part.ceil_mode, False)
            return part(self.env[n.all_input_nodes[0]])
        return super().run_node(n)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """`[T, B, K]`."""
        found = []
        for _ in range(T):
            self.at = 0
            found.append(self.run(images / 255))
        return torch.stack(found).cumsum(0) / torch.arange(1, T + 1)[:, None, None]


def logits_of(network: SpikingNetwork, images: Tensor) -> Tensor:
    state, found = network.start(images), []
    for _ in range(network.timesteps):
        logits, state = network.step(state)
        found.append(logits)
    return torch.stack(found)


def alike(wanted: Tensor, found: Tensor) -> bool:
    """Up to rows of `[T, B, K]` (or `[B, K]`) in which a rounding flipped a spike: an eighth of them."""
    apart = (wanted - found).abs().amax(-1) > 1e-4 + 1e-3 * float(wanted.abs().max())
    return float(apart.float().mean()) <= 0.125


def outcome(seed: int, exported: bool = False) -> set[str]:
    """The steps of the way that a random network passes; the rest refused it.

    Raises:
        AssertionError: where something gives other logits.
        Exception: any that is not an `InputError`.
    """
    module, images = Random(seed).module()
    with torch.no_grad():
        wanted = module(images / 255)
    works = set()
    try:
        pools = [part for part in module if isinstance(part, nn.MaxPool2d)]
        traced = trace(module, images, max_pool="average")
        if not pools:
            assert alike(wanted, logits_of(traced, images)[0]), f"trace of {seed}"
        network = convert(module, images, timesteps=T, max_pool="average")
        works.add("converted")
    except bb.InputError:
        return works
    nodes = [node["name"] for part in (network.stem, network.body, network.head) for node in part.nodes]
    thresholds = network.config["neuron"]["thresholds"]
    order = sorted(thresholds.items(), key=lambda item: nodes.index(item[0].rpartition(".")[2]))
    plain = logits_of(network, images)
    assert alike(Spiking(module, [value for _, value in order]).logits(images), plain), f"conversion of {seed}"
    quantised = [read_staircase(part) for part in module.modules() if isinstance(part, Quantised)]
    assert sorted(value for value, _ in quantised) == sorted(thresholds.values())[: len(quantised)]
    try:
        fast = network.optimize()
        works.add("optimized")
        assert alike(plain, logits_of(fast, images)), f"optimize() of {seed}"
        _, one = network.step(network.start(images))
        _, other = fast.step(fast.start(images))
        for name, values in network.probe(one).items():
            assert alike(values, fast.probe(other)[name]), f"{name} of {seed}"
    except bb.InputError:
        pass
    if exported:
        try:
            network_files(network, 8)  # runs them against the network
            works.add("exported")
        except bb.InputError:
            pass
    return works


def test_random_networks_compute_the_same_in_every_form():
    found = [outcome(seed) for seed in range(15)]
    assert sum("converted" in works for works in found) >= 10
    assert sum("optimized" in works for works in found) >= 7


@pytest.mark.slow
def test_two_hundred_random_networks_compute_the_same_in_every_form():
    found = [outcome(seed, exported=seed % 20 == 0) for seed in range(100, 300)]
    counts = {name: sum(name in works for works in found) for name in ("converted", "optimized", "exported")}
    assert counts["converted"] >= 180
    assert counts["optimized"] >= 160
    assert counts["exported"] >= 6  # the exporter forgets a pool's `divisor_override`, and pads one rounded up wrongly
