"""Training an `ExitNetwork` on the exact expected reward, by its exact gradient.

Letters: N rows, T timesteps, F columns.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.calibration.best_rule import best_threshold, wants_to_exit
from agents.learners.exact.expected_reward import exit_distribution
from agents.learners.exact.policy import COST_RANGE, ExitNetwork, cost_column
from agents.learners.perceptrons import make_perceptron, run_perceptron
from agents.rules.score import elapsed_column
from backbones import InputError
from backbones.argument_checks import check_fields
from backbones.machine import torch_threads
from seenn_env import Traces, make_reward
from seenn_env.observations import AnyObservation
from seenn_env.rewards import pay


@dataclass(frozen=True)
class ExitSettings:
    """How an `ExitNetwork` is made and trained."""

    hidden: tuple[int, ...] = (32, 32)
    """Units of the hidden layers."""
    steps: int | None = None
    """Of the gradient (default: 160, and 20 for every timestep where T is above 8; with a target twice as many)."""
    batch_size: int = 3072
    """Decisions at a time: rows times the T - 1 timesteps of each."""
    learning_rate: float = 1e-2
    """Of Adam; it falls to 0 as a cosine."""
    weight_decay: float = 1e-3
    """As in AdamW."""
    cost_input: bool = False
    """The time cost is an input: one network for all of them."""
    entropy: float = 0.02
    """Reward for the entropy of the exit timestep, falling to 0: exits that look certain early stay open."""
    dual_rate: float = 0.03
    """Of the time cost, while it is moved towards a target (dual ascent): the cost rises by this, times the penalty,
    times the share of time that is spent above the target."""
    penalty: float = 10.0
    """Of (share of time spent - target)² / 2. A cost alone is met by the ends of every chord of accuracy over time:
    where the curve is convex, by exits at timestep 1 and at the last ones, or by any mixture of them."""
    imitation: int = 60
    """Steps of the gradient that imitate the best threshold at the target first; 0 starts from random weights."""

    def __post_init__(self) -> None:
        check_fields(self)
        steps = 1 if self.steps is None else self.steps
        if min(steps, self.batch_size, *self.hidden) < 1:
            raise InputError(f"Expected steps, batch_size and hidden of at least 1, got {self}.")
        if min(self.dual_rate, self.penalty, self.imitation) < 0:
            raise InputError(f"Expected dual_rate, penalty and imitation of at least 0, got {self}.")


def train_exit_network(
    traces: Traces,
    settings: ExitSettings,
    *,
    observation: AnyObservation = "features",
    reward: str = "linear",
    reward_options: dict[str, Any] | None = None,
    target_timesteps: float | None = None,
    seed: int = 0,
    on_progress: Callable[[float], None] | None = None,
) -> ExitNetwork:
    """A network that maximises Σ_t π_t Π_{s<t} (1 - π_s) r_t over the rows, exactly.

    With a target and the reward "linear" it first imitates the best threshold there, then learns by an augmented
    Lagrangian: the time cost is moved by dual ascent until the expected timesteps meet the target, and a quadratic
    penalty keeps them there (`calibrate` does the rest).

    Args:
        traces: all rows are learned from.
        settings: see `ExitSettings`.
        observation: what it sees.
        reward: a name, or a reward.
        reward_options: its options.
        target_timesteps: mean timesteps to move the time cost towards.
        seed: of the weights and batches.
        on_progress: called with the fraction done.

    Raises:
        InputError: for a cost input with another reward than "linear".
    """
    linear = reward == "linear"
    if settings.cost_input and not linear:
        raise InputError(f"Expected the reward 'linear' for a network that takes the time cost, got {reward!r}.")
    made = make_reward(reward, reward_options)
    N, T = traces.predictions.shape
    dual = target_timesteps is not None and linear and not settings.cost_input
    count = max(160, 20 * T) * (2 if dual else 1) if settings.steps is None else settings.steps
    settings = replace(settings, steps=count)
    columns = traces.columns(observation)
    F = columns.shape[-1]
    correct = torch.from_numpy(traces.correct.astype(np.float32))
    share = torch.linspace(0, 1, T) if T > 1 else torch.zeros(1)
    paid = torch.from_numpy(pay(made, traces.correct, np.broadcast_to(np.arange(1, T + 1), (N, T)), T, traces.energy()))
    cost = getattr(made, "cost", 0.1)
    generator = torch.Generator().manual_seed(seed)
    weights = make_perceptron(F + T + settings.cost_input, hidden=settings.hidden, seed=seed)
    flat = columns[:, : max(T - 1, 1)].reshape(-1, F)
    norm = {"mean": torch.from_numpy(flat.mean(0)), "scale": torch.from_numpy(np.maximum(flat.std(0), 1e-3))}
    policy = ExitNetwork(
        weights | norm,
        observation,
        T,
        cost=0.1 if settings.cost_input else None,
        settings={"exact": {**asdict(settings), "hidden": list(settings.hidden)}},
        elapsed=elapsed_column(traces.observation(observation)),
    )
    if T == 1:
        return policy
    seen = policy.inputs(flat).reshape(N, T - 1, -1)
    for tensor in weights.values():
        tensor.requires_grad_(True)
    size = max(settings.batch_size // (T - 1), 1)
    with torch_threads(1), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if dual:
            assert target_timesteps is not None
            aim = (target_timesteps - 1) / (T - 1)
            taught = torch.from_numpy(wants_to_exit(best_threshold(traces, target_timesteps), traces))
            _imitate(weights, seen, taught, settings, _batches(N, size, settings.imitation, generator))
        optimizer = torch.optim.AdamW(weights.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, count)
        for step, rows in enumerate(_batches(N, size, count, generator)):
            part = seen[rows]
            if settings.cost_input:
                costs = torch.exp(_uniform(len(rows), np.log(COST_RANGE), generator))
                given = cost_column(costs)[:, None].expand(-1, T - 1, 1)
                part = torch.cat([given, part[..., 1:]], dim=-1)
                rewards = correct[rows] - costs[:, None] * share
            elif dual:
                rewards = correct[rows] - cost * share
            else:
                rewards = paid[rows]
            logits = run_perceptron(weights, part.reshape(-1, part.shape[-1]))
            distribution = exit_distribution(torch.sigmoid(logits).reshape(len(rows), T - 1))
            values = (distribution * rewards).sum(-1)
            if settings.entropy:
                chance = torch.special.entr(distribution.clamp(min=1e-9)).sum(-1)
                values = values + settings.entropy * (1 - step / count) * chance
            loss = -values.mean()
            if dual:
                excess = (distribution * share).sum(-1).mean() - aim
                loss = loss + settings.penalty / 2 * excess.square()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if dual:
                cost = max(cost + settings.dual_rate * settings.penalty * float(excess.detach()), 0.0)
            if on_progress is not None and (step + 1) % 10 == 0:
                on_progress((step + 1) / count)
    for tensor in weights.values():
        tensor.requires_grad_(False)
    if dual:
        policy.settings["cost"] = cost
    return policy


def _imitate(
    weights: dict[str, Tensor], seen: Tensor, taught: Tensor, settings: ExitSettings, batches: Iterator[Tensor]
) -> None:
    """Fit the exit logits of inputs `[N, T-1, F]` to another policy's wishes to exit, `[N, T-1]` float32 of 0 and 1."""
    optimizer = torch.optim.AdamW(weights.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    for rows in batches:
        logits = run_perceptron(weights, seen[rows].flatten(0, 1))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, taught[rows].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


def _batches(count: int, size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """So many batches of rows, one pass after the other, each in an order of its own."""
    done = 0
    while True:
        for rows in torch.randperm(count, generator=generator).split(size):
            if done == steps:
                return
            done += 1
            yield rows


def _uniform(count: int, bounds: np.ndarray, generator: torch.Generator) -> Tensor:
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(count, generator=generator)
