"""Stepping a frozen network: this project's forms beside SpikingJelly's step mode, same weights, same machine.

    pip install --no-deps spikingjelly loguru
    python benchmarks/live/spikingjelly_step.py --backbone runs/cifar10-jpeg/backbone.safetensors \
        --data-dir DATA --output benchmarks/live/spikingjelly-step.json

SpikingJelly's network has the same convolutions and norms, and `LIFNode`s in place of the neurons, in step
mode "s", evaluation mode, no gradients; the stem runs at every timestep, as it does for
a user who gives it the image at every timestep. Norms per timestep are one of T batch norms (the stem's always the
first). Seconds are the process's own (one thread): other programs on the machine do not count. Where the processor
computes bfloat16, both are also run in it: SpikingJelly's network by autocast.
"""

import copy
import importlib.util
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

import backbones as bb
from agents.commands import machine
from backbones import LIF
from backbones.networks import SpikingNetwork, TimestepBatchNorm2d

if importlib.util.find_spec("spikingjelly"):  # `--help` works without
    from spikingjelly.activation_based import functional
    from spikingjelly.activation_based.neuron import LIFNode

OURS = "inference form"
THEIRS = "SpikingJelly"


@dataclass
class Args:
    """Where things are, and how long to measure."""

    backbone: Path
    data_dir: Path
    output: Path
    batch: int = 128
    rounds: int = 7
    images: int = 5000
    """Images of the calibration split on which answers are compared."""
    device: str = "cpu"
    """Where both run; seconds are then of the wall, and SpikingJelly's neurons use CuPy where it is installed."""


class OfTimestep(torch.nn.Module):
    """A norm per timestep as one writes it where all rows are at the same timestep: one of T batch norms."""

    def __init__(self, norm: TimestepBatchNorm2d) -> None:
        super().__init__()
        self.norm, self.t = norm, 0

    def forward(self, x: Tensor) -> Tensor:
        n, t = self.norm, self.t
        return F.batch_norm(x, n.running_mean[t], n.running_var[t], n.weight * n.scale, n.bias, eps=n.eps)


class Theirs(torch.nn.Module):
    """The network with SpikingJelly's neurons."""

    def __init__(
        self,
        network: SpikingNetwork,
        layout: torch.memory_format = torch.contiguous_format,
        *,
        half: bool = False,
    ) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).to(memory_format=layout)
        self.layout = layout
        for name, norm in list(self.network.body.named_modules()):
            if isinstance(norm, TimestepBatchNorm2d):
                self.network.body.set_submodule(name, OfTimestep(norm))
        self.network._set_timesteps(None)
        self.norms = [module for module in self.network.modules() if isinstance(module, OfTimestep)]
        self.nodes = torch.nn.ModuleDict()
        for name, neuron in self.network.named_modules():
            if isinstance(neuron, LIF):
                assert neuron.v_rest == neuron.v_init == 0
                self.nodes[name.replace(".", "/")] = LIFNode(
                    1 / (1 - neuron.decay), False, neuron.v_threshold, neuron.v_reset, step_mode="s"
                )
        self.node_of = {
            neuron: self.nodes[name.replace(".", "/")]
            for name, neuron in self.network.named_modules()
            if isinstance(neuron, LIF)
        }
        if network.device.type == "cuda" and importlib.util.find_spec("cupy"):
            functional.set_backend(self.nodes, "cupy")
        self.eval()
        self.precision = torch.autocast(network.device.type, torch.bfloat16, enabled=half)

    def begin(self, images: Tensor) -> None:
        functional.reset_net(self.nodes)
        images = images.to(self.network.device)
        self.x = ((images / 255 - self.network.mean) / self.network.std).contiguous(memory_format=self.layout)
        self.sum, self.t = 0, 0

    def step(self) -> Tensor:
        for norm in self.norms:
            norm.t = self.t
        with self.precision:
            current = self.network.stem(self.x)
            spikes = self.network.body(current, lambda neuron, current: self.node_of[neuron](current))
            output = self.network.head(spikes)
        self.sum, self.t = self.sum + output.float(), self.t + 1
        return self.sum / self.t


class Ours:
    """A backbone, advanced in place where it can be."""

    def __init__(self, backbone: SpikingNetwork) -> None:
        self.backbone, self.advance = backbone, getattr(backbone, "advance", backbone.step)

    def begin(self, images: Tensor) -> None:
        self.state = self.backbone.start(images)

    def step(self) -> Tensor:
        logits, self.state = self.advance(self.state)
        return logits


def timed(work: Callable[[], None], device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    begin = clock()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - begin


@torch.no_grad()
def main(args: Args) -> None:
    if importlib.util.find_spec("spikingjelly") is None:
        raise SystemExit("Expected SpikingJelly: pip install --no-deps spikingjelly loguru.")
    torch.set_num_threads(1)
    network, samples = bb.load(args.backbone, device=args.device), bb.load_dataset("folder", args.data_dir).calibration
    samples = samples.evenly(args.images)
    images, T = torch.from_numpy(np.array(samples.images)), network.timesteps
    contenders: dict[str, Any] = {
        THEIRS: Theirs(network),
        f"{THEIRS}, channels_last": Theirs(network, torch.channels_last),
        "plain form": Ours(network),
        OURS: Ours(network.optimize()),
    }
    if args.device != "cpu" or torch.cpu.get_capabilities().get(
        "avx512_bf16"
    ):  # elsewhere it is emulated, many times slower
        half = {"dtype": "bfloat16", "calibration": samples, "min_agreement": 0.0}
        contenders |= {
            f"{THEIRS}, bfloat16": Theirs(network, torch.channels_last, half=True),
            f"{OURS}, bfloat16": Ours(network.optimize(**half)),
            f"{OURS}, bfloat16, compiled": Ours(network.optimize(compile=True, **half)),
        }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(args.rounds + 1):
        for name, contender in contenders.items():
            spent = timed(
                lambda c=contender: [c.begin(images[: args.batch]), *(c.step() for _ in range(T))], args.device
            )
            if turn:
                seconds[name].append(spent)
    answers = {name: [] for name in contenders}
    for begin in range(0, len(images), args.batch):
        for name, contender in contenders.items():
            contender.begin(images[begin : begin + args.batch])
            answers[name].append(torch.stack([contender.step().argmax(-1) for _ in range(T)]).cpu().numpy())
    found = {name: np.concatenate(each, 1) for name, each in answers.items()}
    result = {
        "machine": {**machine(), "spikingjelly": version("spikingjelly")},
        "device": args.device,
        "batch": args.batch,
        "contenders": {},
    }
    for name in contenders:
        rate = args.batch * T / np.array(seconds[name])
        ratio = np.quantile(np.array(seconds[THEIRS]) / np.array(seconds[name]), [0.25, 0.5, 0.75])
        result["contenders"][name] = {
            "row_steps_per_second": np.quantile(rate, [0.25, 0.5, 0.75]).tolist(),
            "ratio_to_spikingjelly": ratio.tolist(),
            "agreement_with_spikingjelly": (found[name] == found[THEIRS]).mean(1).tolist(),
            "accuracy": (found[name] == samples.labels).mean(1).tolist(),
        }
        agreement = (found[name] == found[THEIRS]).mean(1).min()
        print(
            f"{name:<34} {np.median(rate):8.1f} row-steps/s  × {ratio[1]:.2f} [{ratio[0]:.2f}, {ratio[2]:.2f}]", end=""
        )
        print(f"  agreement ≥ {agreement:.4f}  accuracy at T {(found[name] == samples.labels).mean(1)[-1]:.4f}")
    args.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Args))
