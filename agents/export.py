"""A backbone and a policy for deployment, as ONNX: see `backbones.export` for the network's part.

    export(network, policy, "deployed", num_slots=32)         # start.onnx, step.onnx, policy.onnx, network.json

`policy.onnx`: running logits `[B, K]`, those of the timestep before, timesteps `[B]` → `exit [B]` bool.

Letters: B slots, K classes, T timesteps, F columns.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import Tensor, nn

from agents.learned import LearnedPolicy
from agents.per_timestep import PerTimestep
from agents.rules import Confidence, Entropy, Margin
from backbones import InputError, SpikingNetwork
from backbones.export import export_module, export_network
from seenn_env.columns import FEATURES, LOGITS_RANGE


def export(network: SpikingNetwork, policy: Any, folder: str | Path, *, num_slots: int) -> Path:
    """Write the network and the policy into a folder.

    Args:
        network: a plain one.
        policy: `Confidence`, `Entropy`, `Margin`, `PerTimestep` of them, or a `LearnedPolicy` (actor-critic) on
            "features" or "logits".
        folder: where to; it is made.
        num_slots: B, fixed in the files.

    Raises:
        InputError: for another policy, or as `export_network` does.
    """
    decide = DecisionModule(policy, network.timesteps)
    folder = export_network(network, folder, num_slots=num_slots)
    logits = torch.zeros(num_slots, network.num_classes)
    timestep = torch.ones(num_slots, dtype=torch.int64)
    names = ("logits", "previous", "timestep")
    export_module(decide, (logits, logits.clone(), timestep), folder / "policy.onnx", names, ("exit",))
    return folder


class DecisionModule(nn.Module):
    """A policy in torch from the logits on: the observation, the score, the decision.

    Args:
        policy: see `export`.
        timesteps: T.

    Raises:
        InputError: for another policy.
    """

    wanted: Tensor

    def __init__(self, policy: Any, timesteps: int) -> None:
        super().__init__()
        self.T = timesteps
        self.observation = getattr(policy, "observation", None)
        self.level = float(getattr(policy, "level", 0))
        rule = policy.rule if isinstance(policy, PerTimestep) else policy
        self.network: nn.Module | None = None
        if isinstance(rule, Confidence | Entropy | Margin):
            self.column, self.sign = FEATURES.index(rule.column), rule.sign
            wanted = np.append(policy.thresholds, 0.0) if isinstance(policy, PerTimestep) else np.zeros(timesteps)
            self.register_buffer("wanted", torch.tensor(wanted))
        elif isinstance(policy, LearnedPolicy) and isinstance(policy.network, ActorCriticPolicy):
            if self.observation not in ("features", "logits"):
                raise InputError(
                    f"Expected a policy on the observation 'features' or 'logits' to export, got {self.observation!r}."
                )
            self.network = nn.Sequential(policy.network.mlp_extractor.policy_net, policy.network.action_net)
        else:
            raise InputError(
                "Expected Confidence, Entropy, Margin, PerTimestep of them or an actor-critic LearnedPolicy to export, "
                f"got {type(rule).__name__}."
            )

    def forward(self, logits: Tensor, previous: Tensor, timestep: Tensor) -> Tensor:
        """`[B]` bool: who exits."""
        last = timestep >= self.T
        if self.network is None:
            score = self.sign * features(logits, previous, timestep, self.T)[:, self.column].double()
            score = score - self.sign * self.wanted[(timestep - 1).clamp(0, self.T - 1)]
            return (score >= self.level) | last
        if self.observation == "features":
            columns = features(logits, previous, timestep, self.T)
        else:
            elapsed = (timestep / self.T).float()
            columns = torch.cat([logits.clamp(-LOGITS_RANGE, LOGITS_RANGE), elapsed[:, None]], -1)
        stay_or_go = self.network(columns).double()
        return (torch.sigmoid(stay_or_go[:, 1] - stay_or_go[:, 0]) >= self.level) | last


def features(logits: Tensor, previous: Tensor, timestep: Tensor, T: int) -> Tensor:
    """`[B, F]`: `seenn_env.columns.features`, in torch; a test holds the two together."""
    p, q = logits.softmax(-1), previous.softmax(-1)
    top = p.topk(2, -1).values
    entropy = -torch.where(p > 0, p * p.log(), 0.0).sum(-1) / np.log(p.shape[-1])
    later = (timestep > 1).float()
    agreement = later * (logits.argmax(-1) == previous.argmax(-1)).float()
    change = later * (p - q).abs().sum(-1) / 2
    columns = (top[:, 0], top[:, 0] - top[:, 1], entropy, agreement, change, timestep / T)
    return torch.stack([column.float() for column in columns], -1).clamp(0, 1)
