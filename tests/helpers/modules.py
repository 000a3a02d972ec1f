"""A module of no framework that keeps its potential, and the access to it that an adapter has."""

import torch
from torch import nn

from tests.helpers.adapted import T


class Held(nn.Module):
    """Keeps its potential, which starts at 0.25; `habit` names a fault."""

    def __init__(self, habit=""):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.out = nn.Linear(64, 32), nn.Linear(32, 10)
        self.v, self.habit, self.clock, self.seen = 0.25, habit, 0, []
        self.eval()

    def reset(self):
        self.v = 0.25

    def forward(self, inputs):
        if self.habit == "resets":
            self.reset()
        if self.habit == "counts":
            self.clock += 1
        if self.habit == "collects":
            self.seen.append(inputs.mean())
        current = 2 * self.fc(inputs.flatten(inputs.dim() - 3))
        if self.habit == "mixes rows":
            current = current - current.mean(0)
        if self.habit == "draws":
            current = current + torch.rand_like(current)
        v = 0.8 * self.v + current
        if self.habit == "writes" and isinstance(self.v, torch.Tensor):
            self.v.zero_()
        spikes = (v >= 0.5).float()
        self.v = v.mean(0) if self.habit == "averages" else torch.where(spikes > 0, -0.1, v)
        output = self.out(spikes)
        return {"pair": (spikes, output), "one class": output[:, :1], "whole": output.expand(T, -1, -1)}.get(
            self.habit, output
        )


class Access:
    """As a framework would: this module's potential only."""

    def __init__(self, module):
        self.module = module

    def read(self):
        return {"v": self.module.v}

    def write(self, values):
        self.module.v = values["v"]

    def reset(self):
        self.module.reset()
