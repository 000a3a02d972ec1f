"""Warm start: fits the networks of stable-baselines3 to the policy of the exact learner before they train.

    teacher = Teacher.at(traces.select("policy"), 1.5)
    teacher.teach(model.policy)

Letters: N rows, T timesteps, F columns of the observation, B decisions.
"""

from dataclasses import dataclass

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from agents.learners.exact.training import ExitSettings, train_exit_network
from agents.learners.sb3.networks import action_values, actor_and_critic
from seenn_env import Traces
from seenn_env.observations import AnyObservation

_STEPS, _DECISIONS, _RATE = 400, 4096, 3e-3
"""Gradient steps, decisions per step, and the initial learning rate."""
_OFF_PATH = 0.05
"""Weight of the values of a decision, on top of the probability that the teacher reaches it."""


@dataclass(frozen=True)
class Teacher:
    """A stochastic exit rule on the rows of traces, with the values of both actions under it.

    Args:
        columns: `[N, T-1, F]` observations.
        chances: `[N, T-1]` probability of exiting.
        exits: `[N, T-1]` reward of exiting.
        continues: `[N, T-1]` expected reward of continuing and then following `chances`.
        cost: of all T timesteps, in units of accuracy.
    """

    columns: Tensor
    chances: Tensor
    exits: Tensor
    continues: Tensor
    cost: float

    @classmethod
    def at(
        cls,
        traces: Traces,
        target_timesteps: float,
        *,
        observation: AnyObservation = "features",
        cost: float | None = None,
        seed: int = 0,
    ) -> "Teacher":
        """The exact learner, trained on all rows at a target; `cost` replaces the one at which it meets the target."""
        learner = train_exit_network(
            traces, ExitSettings(), observation=observation, target_timesteps=target_timesteps, seed=seed
        )
        cost = learner.settings["cost"] if cost is None else cost
        chances = torch.from_numpy(learner.trace_scores(traces)).float()
        correct = torch.tensor(traces.correct, dtype=torch.float32)
        worth, continues = correct[:, -1], []
        for t in reversed(range(chances.shape[1])):
            continues.append(worth - cost / chances.shape[1])
            worth = torch.lerp(continues[-1], correct[:, t], chances[:, t])
        columns = torch.tensor(traces.columns(observation)[:, :-1])
        return cls(columns, chances, correct[:, :-1], torch.stack(continues[::-1], dim=1), cost)

    def teach(self, network: BasePolicy, seed: int = 0) -> None:
        """Fit a network of stable-baselines3 or sb3-contrib to the chances and values, over all rows and timesteps."""
        N, decisions, _ = self.columns.shape
        size = max(_DECISIONS // decisions, 1)
        generator = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, _STEPS)
        for _ in range(_STEPS):
            rows = torch.randint(N, (size,), generator=generator)
            loss = self._loss(network, rows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()

    def _loss(self, network: BasePolicy, rows: Tensor) -> Tensor:
        """Cross-entropy with the chances, and squared error of the values, over every decision on these rows."""
        inputs, chances = self.columns[rows].flatten(0, 1), self.chances[rows].flatten()
        values = torch.stack([self.continues[rows].flatten(), self.exits[rows].flatten()], dim=1)
        if isinstance(network, ActorCriticPolicy):
            logits, critic = actor_and_critic(network, inputs, len(rows))
            actor = binary_cross_entropy_with_logits(logits, chances)
            return actor + mse_loss(critic, torch.lerp(values[:, 0], values[:, 1], chances))
        survival = torch.cumprod(1 - self.chances[rows], dim=1)
        weights = torch.cat([torch.ones_like(survival[:, :1]), survival[:, :-1]], dim=1).flatten() + _OFF_PATH
        errors = (action_values(network, inputs) - values[:, None]).square().mean((1, 2))
        return (errors * weights).mean() / weights.mean()
