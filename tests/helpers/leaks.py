"""Backbones whose rows leak into each other, in every way and size that a check has to find; and sound small ones."""

import torch
from torch import nn

import backbones as bb
from backbones.contract import BackboneError
from backbones.state_tree import map_leaves


class Leaking:
    """A sound backbone that adds a part of a row to another after each timestep.

    Args:
        inner: the backbone, an `AdaptedBackbone` or a `SpikingNetwork`.
        kind: one of `KINDS`.
        size: of the leak, in parts of what leaks.
    """

    def __init__(self, inner, kind, size):
        self.inner, self.kind, self.size = inner, kind, size
        self.timesteps, self.num_classes = inner.timesteps, inner.num_classes
        self.device, self.fingerprint, self.start, self.refill = (
            inner.device,
            inner.fingerprint,
            inner.start,
            inner.refill,
        )

    def step(self, state):
        logits, state = self.inner.step(state)
        name = "memory" if hasattr(state, "memory") else "membranes"
        place, leak = KINDS[self.kind]
        if place == "logits":
            return logits + self.size * leak(logits), state
        if place == "readout":
            return logits, state._replace(readout=state.readout + self.size * leak(state.readout))
        return logits, state._replace(**{name: map_leaves(lambda v: v + self.size * leak(v), getattr(state, name))})


def _one_into_another(values):
    into = torch.zeros_like(values)
    into[-1] = values[0]
    return into


def _largest(values):
    return values.amax(0, keepdim=True).expand_as(values)


def _next(values):
    return values.roll(1, 0)


def _less_the_mean(values):
    return -values.mean(0, keepdim=True).expand_as(values)


KINDS = {
    f"{name} {place}": (place, leak)
    for place in ("membranes", "readout", "logits")
    for name, leak in {
        "one row's": _one_into_another,
        "the next row's": _next,
        "the largest": _largest,
        "less the mean": _less_the_mean,
    }.items()
}


def random_layers(seed, neuron):
    """Layers of a small spiking network for `[B, 1, 8, 8]`, of odd widths; `neuron(random)` makes its neurons."""
    rng = torch.Generator().manual_seed(seed)

    def random(low, high):
        return low + (high - low) * torch.rand((), generator=rng).item()

    width, hidden, K = int(random(3, 40)), int(random(5, 70)), int(random(2, 13))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if seed % 3 == 0:
            convolution, side = nn.Conv2d(1, width, 3, padding=seed % 2), 6 + 2 * (seed % 2)
            middle = [nn.AvgPool2d(2), nn.Flatten(), nn.Linear(width * (side // 2) ** 2, hidden)]
            first = [convolution, neuron(random), *middle]
        else:
            first = [nn.Flatten(), nn.Linear(64, width), neuron(random), nn.Linear(width, hidden)]
        layers = [*first, neuron(random), nn.Linear(hidden, K)]
    with torch.no_grad():
        for layer in layers:
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.weight *= random(1.5, 5)  # so that there are spikes
    return layers


def random_images(seed):
    """`[8, 1, 8, 8]` floats."""
    return torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def refused(make, seeds):
    """The sound backbones that `check_backbone` refuses, by seed, with its message; `make(seed) -> backbone`.

    Silent ones are rightly refused as uncheckable; they must stay few.
    """
    found, silent = {}, 0
    for seed in seeds:
        try:
            bb.check_backbone(make(seed), random_images(seed))
        except (BackboneError, bb.InputError) as error:
            if "nothing can be checked" in str(error):
                silent += 1
            else:
                found[seed] = str(error)
    assert 5 * silent <= len(seeds), f"{silent} of {len(seeds)} are silent"
    return found


def leaks_not_found(make, count):
    """Of that many leaks of all kinds and sizes, those that pass `check_backbone`."""
    kinds = sorted(KINDS)
    missed, tried, seed = [], 0, -1
    while tried < count:
        seed += 1
        kind, size = kinds[seed % len(kinds)], 10.0 ** -(seed % 7 / 2)  # 1 to 1e-3
        try:
            bb.check_backbone(Leaking(make(seed), kind, size), random_images(seed))
            missed.append((seed, kind, size))
        except (BackboneError, bb.InputError) as error:
            if "nothing can be checked" in str(error):
                continue
            if "rows are independent" not in str(error):
                missed.append((seed, kind, str(error)))
        tried += 1
    return missed
