"""A backbone and a policy for deployment, as ONNX: see `backbones.onnx_export` for the network's part.

    export(network, policy, "deployed", num_slots=32)         # start.onnx, step.onnx, policy.onnx, network.json

`policy.onnx`: running logits `[B, K]`, those of the timestep before, timesteps `[B]` → `exit [B]` bool.

Letters: B slots, K classes, T timesteps, F columns.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.rules.score import ScoredPolicy, no_export
from backbones import Backbone, InputError
from backbones.argument_checks import Positive, check_kinds
from backbones.onnx_export import network_files, runner, to_onnx, write_files
from seenn_env.evaluation import check_trained_for
from seenn_env.observations import LOGITS_RANGE


@check_kinds
def export(network: Backbone, policy: Any, folder: str | Path, *, num_slots: Positive = 32) -> Path:
    """Write the network and the policy into a folder, after a test of the files against them.

    Args:
        network: a plain one.
        policy: `Confidence`, `Entropy`, `Margin`, an `ExitNetwork`, a `LearnedPolicy` (actor-critic or DQN), or
            `PerTimestep` of them, on the observation "features" or "logits".
        folder: is made.
        num_slots: B, the batch size, which is fixed in the files.

    Raises:
        InputError: for another policy, one trained for another T or backbone, or as `export_network` does.
    """
    policy_file = _policy_file(network, policy, num_slots)  # refuses a policy before the network is exported
    return write_files({**network_files(network, num_slots), "policy.onnx": policy_file}, folder)


def export_policy(network: Backbone, policy: Any, folder: Path, *, num_slots: int) -> None:
    """Write `policy.onnx` alone: another policy for a network that is there. See `export`."""
    write_files({"policy.onnx": _policy_file(network, policy, num_slots)}, folder)


def _policy_file(network: Backbone, policy: Any, num_slots: int) -> bytes:
    decide = DecisionModule(policy, network.timesteps).eval()
    check_trained_for(policy, network)
    logits = torch.zeros(num_slots, network.num_classes)
    timestep = torch.ones(num_slots, dtype=torch.int64)
    names = ("logits", "previous", "timestep")
    model = to_onnx(decide, (logits, logits.clone(), timestep), names, ("exit",))
    run, generator = runner(model), torch.Generator().manual_seed(0)
    rounds, agreement = -(-_DECISIONS // num_slots), 0.0
    for _ in range(rounds):
        values = {
            name: torch.randn(logits.shape, generator=generator) * 3 * torch.rand(num_slots, 1, generator=generator)
            for name in names[:2]
        }
        values["timestep"] = torch.randint(1, network.timesteps + 1, (num_slots,), generator=generator)
        with torch.no_grad():
            agreement += float((run(values)[0] == decide(**values)).double().mean()) / rounds
    if agreement < 0.99:
        raise InputError(
            "Expected an ONNX file that decides as the policy does, got one that agrees on "
            f"{agreement:.1%} of decisions: a layer of its network is exported wrongly."
        )
    return model


_DECISIONS = 256
"""Decisions of the test of a policy's file, at least."""


class DecisionModule(nn.Module):
    """A policy in torch from logits to decision: the observation, the score, the comparison with the level; an
    `InputError` for a policy that `export` does not take.
    """

    def __init__(self, policy: Any, timesteps: int) -> None:
        super().__init__()
        self.T = timesteps
        if not isinstance(policy, ScoredPolicy):
            raise no_export(policy)
        self.observation, self.level = policy.observation, float(policy.level)
        self.score = policy.score_module(timesteps)
        if self.observation not in ("features", "logits"):
            raise InputError(
                f"Expected a policy on the observation 'features' or 'logits' to export, got {self.observation!r}."
            )

    def forward(self, logits: Tensor, previous: Tensor, timestep: Tensor) -> Tensor:
        """`[B]` bool: exits."""
        if self.observation == "features":
            columns = features(logits, previous, timestep, self.T)
        else:
            elapsed = (timestep / self.T).float()
            columns = torch.cat([logits.clamp(-LOGITS_RANGE, LOGITS_RANGE), elapsed[:, None]], -1)
        at = (timestep - 1).clamp(0, self.T - 1)
        return (self.score(columns, at) >= self.level) | (timestep >= self.T)


def features(logits: Tensor, previous: Tensor, timestep: Tensor, T: int) -> Tensor:
    """`[B, F]`: the observation "features" in torch; a test compares it with that of `seenn_env.observations`."""
    p, q = logits.softmax(-1), previous.softmax(-1)
    top = p.topk(2, -1).values
    entropy = -torch.where(p > 0, p * p.log(), 0.0).sum(-1) / np.log(p.shape[-1])
    after_first = (timestep > 1).float()
    agreement = after_first * (logits.argmax(-1) == previous.argmax(-1)).float()
    change = after_first * (p - q).abs().sum(-1) / 2
    columns = (top[:, 0], top[:, 0] - top[:, 1], entropy, agreement, change, timestep / T)
    return torch.stack([column.float() for column in columns], -1).clamp(0, 1)
