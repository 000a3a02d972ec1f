"""The policy that the exact learner finds, as a beginning for the networks of stable-baselines3.

    teacher = Teacher.at(traces.select("policy"), 1.5)
    teacher.teach(model.policy)

Letters: N rows, T timesteps, F columns of the observation, B decisions.
"""

from dataclasses import dataclass
from typing import Any

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from agents.learners.exact.training import ExitSettings, train_exit_network
from seenn_env import Traces
from seenn_env.observations import AnyObservation

_STEPS, _DECISIONS, _RATE = 400, 4096, 3e-3
"""Of the gradient, decisions in each, and the learning rate at first."""
_OFF_PATH = 0.05
"""Weight of values where the teacher has exited before; elsewhere, with the chance of coming there added."""


@dataclass(frozen=True)
class Teacher:
    """A stochastic exit rule on the rows of traces, and what each action is worth under it.

    Args:
        columns: `[N, T-1, F]` observations.
        chances: `[N, T-1]` probability of exiting.
        exits: `[N, T-1]` reward of exiting.
        continues: `[N, T-1]` reward of continuing, and from then on by the chances.
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
        """The exact learner at a target, trained on these traces.

        Args:
            traces: all rows are learned from.
            target_timesteps: mean timesteps.
            observation: what it sees.
            cost: in place of the one at which it meets the target.
            seed: of its training.
        """
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

    def _loss(self, network: Any, rows: Tensor) -> Tensor:
        """Cross-entropy with the chances, and squared error of the values, of every decision on these rows."""
        seen, chances = self.columns[rows].flatten(0, 1), self.chances[rows].flatten()
        both = torch.stack([self.continues[rows].flatten(), self.exits[rows].flatten()], dim=1)
        if isinstance(network, ActorCriticPolicy):
            memory = self._memory(network, len(rows), len(seen)) if hasattr(network, "lstm_actor") else ()
            asked: Any = network.get_distribution(seen, *memory)
            logits = (asked[0] if memory else asked).distribution.logits
            actor = binary_cross_entropy_with_logits(logits[:, 1] - logits[:, 0], chances)
            values: Tensor = network.predict_values(seen, *memory)
            return actor + mse_loss(values[:, 0], torch.lerp(both[:, 0], both[:, 1], chances))
        stays = torch.cumprod(1 - self.chances[rows], dim=1)
        reached = torch.cat([torch.ones_like(stays[:, :1]), stays[:, :-1]], dim=1).flatten() + _OFF_PATH
        found = network.q_net(seen)[:, None] if hasattr(network, "q_net") else network.quantile_net(seen)
        errors = (found - both[:, None]).square().mean((1, 2))
        return (errors * reached).mean() / reached.mean()

    @staticmethod
    def _memory(network: Any, rows: int, decisions: int) -> tuple[Any, Tensor]:
        """State and starts of a recurrent network that sees whole rows, one after the other."""
        lstm = network.lstm_actor
        zeros = torch.zeros(lstm.num_layers, rows, lstm.hidden_size)
        return (zeros, zeros), torch.zeros(decisions)
