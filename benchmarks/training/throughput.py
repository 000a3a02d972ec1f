"""Training steps a second, side by side with SpikingJelly's multi-step mode.

pip install --no-deps spikingjelly loguru            # 2.0.0 was used
OMP_NUM_THREADS=1 python benchmarks/training/throughput.py --output benchmarks/training/throughput.json

The same spiking ResNet-9 from the same weights, on the same random images: forward, TET, backward, SGD.
Contenders take turns in one process on one thread; a step's time is the CPU time of the process, so that
other programs on the machine count for little; ratios are taken round by round.
"""

import argparse
import importlib.util
import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from backbones.networks import SpikingNetwork

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # large memory pages, for every contender

import numpy as np
import torch
from torch import Tensor, nn

import backbones as bb
from backbones.networks import ThresholdBatchNorm2d, faster_convolutions
from backbones.training import tet_loss

if importlib.util.find_spec("spikingjelly"):  # `--help` works without
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

Step = Callable[[], float]


class JellyBlock(nn.Module):
    """Two convolutions with tdBN and an identity shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1, self.neuron1 = conv(channels, channels), norm(channels), lif()
        self.conv2, self.norm2, self.neuron2 = conv(channels, channels), norm(channels), lif()

    def forward(self, spikes: Tensor) -> Tensor:
        return self.neuron2(self.norm2(self.conv2(self.neuron1(self.norm1(self.conv1(spikes))))) + spikes)


class JellyNet(nn.Module):
    """`resnet9` in SpikingJelly's layers, every one in multi-step mode."""

    def __init__(self, width: int, num_classes: int, *, stem_once: bool) -> None:
        super().__init__()
        widths = (width, 3 * width // 2, 3 * width, 6 * width)
        self.stem_once = stem_once
        self.stem = nn.Sequential(conv(3, width), norm(width))
        self.neuron = lif()
        stages = []
        for before, after in itertools.pairwise(widths):
            stages.append(nn.Sequential(conv(before, after, 2), norm(after), lif(), JellyBlock(after)))
        self.stages = nn.Sequential(*stages)
        self.pool = layer.AdaptiveAvgPool2d(1, step_mode="m")
        self.head = layer.Linear(widths[-1], num_classes, step_mode="m")

    def forward(self, images: Tensor, timesteps: int) -> Tensor:
        if self.stem_once:
            current = self.stem(images[None]).expand(timesteps, *[-1] * 4)
        else:
            current = self.stem(images.expand(timesteps, *images.shape))
        return self.head(self.pool(self.stages(self.neuron(current))).flatten(2))


def conv(before: int, after: int, stride: int = 1) -> nn.Module:
    return layer.Conv2d(before, after, 3, stride, 1, bias=False, step_mode="m")


def norm(channels: int) -> nn.Module:
    return layer.ThresholdDependentBatchNorm2d(1.0, 1.0, channels)


def lif() -> nn.Module:
    triangle = surrogate.PiecewiseQuadratic(alpha=1.0)
    return neuron.LIFNode(2.0, decay_input=False, surrogate_function=triangle, step_mode="m")


def pair(width: int, T: int, *, stem_once: bool = False) -> tuple[SpikingNetwork, JellyNet]:
    """Ours and SpikingJelly's, with the same weights.

    α is 1 in both: SpikingJelly makes it γ's first value, so that the optimiser moves it otherwise.
    """
    ours = bb.build(
        "resnet9",
        num_classes=10,
        timesteps=T,
        width=width,
        mean=0.5,
        std=0.25,
        neuron={"type": "lif", "decay": 0.5, "inclusive": True},
    ).train()
    theirs = JellyNet(width, 10, stem_once=stem_once).train()
    with torch.no_grad():
        for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.copy_(own)
    for module in ours.modules():
        if isinstance(module, ThresholdBatchNorm2d):
            module.scale = 1.0
    return ours, theirs


def step_of(network: nn.Module, forward: Callable[[], Tensor], labels: Tensor) -> Step:
    optimizer = torch.optim.SGD(network.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True)

    def step() -> float:
        loss = tet_loss(forward(), labels, lamb=0.0, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def clock_of(device: str) -> Callable[[], float]:
    """CPU seconds of the process; on a GPU the wall's, when it has done all."""
    if device == "cpu":
        return time.process_time

    def clock() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return clock


def our_step(network: SpikingNetwork, images: Tensor, labels: Tensor, T: int) -> Step:
    step = step_of(network, lambda: network(images, timesteps=T), labels)

    def faster() -> float:
        with faster_convolutions(network):  # as `backbones.train` does
            return step()

    return faster


def jelly_step(network: JellyNet, images: Tensor, labels: Tensor, T: int) -> Step:
    def forward() -> Tensor:
        functional.reset_net(network)
        return network((images.to(network.head.weight.dtype) / 255 - 0.5) / 0.25, T)

    return step_of(network, forward, labels)


def batch(size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.randint(10, (size,), generator=generator)


def same_losses(steps: int, dtype: torch.dtype, width: int = 43, size: int = 4, T: int = 2) -> dict[str, float]:
    """How far the losses of the first steps are apart."""
    ours, theirs = (network.to(dtype) for network in pair(width, T))
    images, labels = batch(size)
    one, other = our_step(ours, images, labels, T), jelly_step(theirs, images, labels, T)
    losses = np.array([(one(), other()) for _ in range(steps)])
    apart = np.abs(losses[:, 0] - losses[:, 1])
    return {
        "steps": steps,
        "width": width,
        "batch": size,
        "timesteps": T,
        "first_loss": float(losses[0, 0]),
        "last_loss": float(losses[-1, 0]),
        "largest_difference": float(apart.max()),
        "largest_difference_of_the_first_10": float(apart[:10].max()),
    }


def race(T: int, width: int, size: int, rounds: int, device: str = "cpu") -> dict[str, list[float]]:
    """Seconds of each contender's steps, one list a contender; the first two rounds are not counted."""
    images, labels = (given.to(device) for given in batch(size))
    ours, theirs = (network.to(device) for network in pair(width, T))
    compiled, tuned = (network.to(device) for network in pair(width, T, stem_once=True))
    if device != "cpu" and importlib.util.find_spec("cupy"):
        functional.set_backend(theirs, "cupy")
        functional.set_backend(tuned, "cupy")
    clock = clock_of(device)
    ours.to(memory_format=torch.channels_last)
    compiled.to(memory_format=torch.channels_last)
    compiled.compiled = True
    last = images.contiguous(memory_format=torch.channels_last)
    contenders = {
        "ours": our_step(ours, last, labels, T),
        "ours, compiled neurons": our_step(compiled, last, labels, T),
        "spikingjelly": jelly_step(theirs, images, labels, T),
        "spikingjelly, stem once": jelly_step(tuned, images, labels, T),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 2):
        for name, step in contenders.items():
            began = clock()
            step()
            if number > 1:
                seconds[name].append(round(clock() - began, 5))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--timesteps", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--width", type=int, default=48)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loss-steps", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    settings = parser.parse_args()
    if importlib.util.find_spec("spikingjelly") is None:
        parser.error("expected SpikingJelly: pip install --no-deps spikingjelly loguru")
    torch.set_num_threads(1)
    result: dict[str, object] = {
        "versions": {"torch": torch.__version__, "spikingjelly": _version("spikingjelly")},
        "network": f"resnet9, width {settings.width}, batch {settings.batch}, float32, one thread",
        "device": settings.device if settings.device == "cpu" else torch.cuda.get_device_name(),
        "losses": {
            name: same_losses(settings.loss_steps, dtype)
            for name, dtype in (("float64", torch.float64), ("float32", torch.float32))
        },
    }
    print(json.dumps(result["losses"], indent=1), flush=True)
    races = {}
    for T in settings.timesteps:
        seconds = race(T, settings.width, settings.batch, settings.rounds, settings.device)
        ours = np.array(seconds["ours"])
        ratios = {name: np.quantile(np.array(s) / ours, (0.25, 0.5, 0.75)).round(3) for name, s in seconds.items()}
        races[f"T={T}"] = {
            "cpu_seconds_a_step": seconds,
            "images_per_cpu_second": {n: round(settings.batch / float(np.median(s)), 1) for n, s in seconds.items()},
            "ours_is_faster_by": {name: ratio.tolist() for name, ratio in ratios.items() if name != "ours"},
        }
        print(f"T={T}", races[f"T={T}"]["images_per_cpu_second"], races[f"T={T}"]["ours_is_faster_by"], flush=True)
        result["races"] = races
        settings.output.parent.mkdir(parents=True, exist_ok=True)
        settings.output.write_text(json.dumps(result, indent=1) + "\n")


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


if __name__ == "__main__":
    main()
