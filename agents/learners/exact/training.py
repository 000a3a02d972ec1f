"""Training of an `ExitNetwork` on the exact expected reward, by its exact gradient.

Letters: N rows, T timesteps, F columns.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.calibration.best_rule import best_threshold
from agents.learners.exact.policy import ExitNetwork
from agents.learners.perceptrons import make_perceptron, run_perceptron
from agents.rules.score import elapsed_column
from backbones.argument_checks import AboveZero, FromZero, Natural, Positive, check_fields, check_kinds
from backbones.machine import torch_threads
from seenn_env import Traces, make_reward
from seenn_env.observations import AnyObservation
from seenn_env.rewards import AnyReward


@dataclass(frozen=True)
class ExitSettings:
    """Settings of an `ExitNetwork` and its training."""

    hidden: tuple[Positive, ...] = (32, 32)
    """Units of the hidden layers."""
    steps: Positive | None = None
    """Gradient steps (default: 160, or 20 T where T > 8; twice as many with a target)."""
    batch_size: Positive = 3072
    """Decisions: rows times the T - 1 timesteps of each."""
    learning_rate: AboveZero = 1e-2
    """Of Adam, with cosine decay to 0."""
    weight_decay: FromZero = 1e-3
    """As in AdamW."""
    entropy: FromZero = 0.02
    """Weight of the entropy of the exit timestep, falling to 0: early in training no exit becomes certain."""
    dual_rate: FromZero = 0.03
    """Step size of dual ascent on the time cost: the cost rises by dual_rate · penalty · (share of time above the
    target)."""
    penalty: FromZero = 10.0
    """Weight of (share of time - target)² / 2. Under a cost alone, where accuracy is convex in time, the optimum exits
    at timestep 1 and at the last ones, in any mixture."""
    imitation: Natural = 60
    """First gradient steps, which imitate the best threshold at the target; 0 starts from random weights."""

    def __post_init__(self) -> None:
        check_fields(self)


def exit_distribution(probability: Tensor) -> Tensor:
    """`[…, N, T]` distribution of the exit timestep of each row.

    With π_t = `probability` `[…, N, T-1]` of exiting at t once there, it is π_t Π_{s<t} (1 - π_s), and π_T = 1. The
    gradient of the expected reward Σ_t π_t Π_{s<t} (1 - π_s) r_t is exact too: ∂/∂π_t = Π_{s<t} (1 - π_s) · (r_t - the
    expected reward of continuing from t).
    """
    survival = torch.cumprod(1 - probability, dim=-1)
    certain = survival.new_ones(*survival.shape[:-1], 1)
    return torch.cat([certain, survival], dim=-1) * torch.cat([probability, certain], dim=-1)


@check_kinds
def train_exit_network(
    traces: Traces,
    settings: ExitSettings,
    *,
    observation: AnyObservation = "features",
    reward: AnyReward = "linear",
    reward_options: dict[str, Any] | None = None,
    target_timesteps: float | None = None,
    seed: int = 0,
    on_progress: Callable[[float, Callable[[], ExitNetwork]], None] | None = None,
) -> ExitNetwork:
    """A network that maximises Σ_t π_t Π_{s<t} (1 - π_s) r_t over the rows, exactly.

    With a target and the reward "linear" it first imitates the best threshold at the target, then minimises an
    augmented Lagrangian: dual ascent moves the time cost until the expected timesteps meet the target, and a quadratic
    penalty keeps them there (`calibrate` makes them exact).

    All rows are training data. The arguments are those of `agents.train`; `on_progress` is called with the fraction
    done and a function that returns the policy at this time.
    """
    N, T = traces.predictions.shape
    dual = target_timesteps is not None and reward == "linear"
    count = max(160, 20 * T) * (2 if dual else 1) if settings.steps is None else settings.steps
    settings = replace(settings, steps=count)
    columns = traces.columns(observation)
    F = columns.shape[-1]
    correct = torch.from_numpy(traces.correct.astype(np.float32))
    share = torch.linspace(0, 1, T)
    row_rewards = torch.from_numpy(traces.rewards(reward, reward_options))
    cost = getattr(make_reward(reward, reward_options), "cost", 0.1)
    generator = torch.Generator().manual_seed(seed)
    weights = make_perceptron(F + T, hidden=settings.hidden, seed=seed)
    flat = columns[:, : max(T - 1, 1)].reshape(-1, F)
    scales = {"mean": torch.from_numpy(flat.mean(0)), "scale": torch.from_numpy(np.maximum(flat.std(0), 1e-3))}
    policy = ExitNetwork(
        weights | scales,
        observation,
        T,
        settings={"exact": {**asdict(settings), "hidden": list(settings.hidden)}},
        elapsed=elapsed_column(traces.observation(observation)),
    )
    if T == 1:
        return policy
    inputs = policy.inputs(flat).reshape(N, T - 1, -1)
    for tensor in weights.values():
        tensor.requires_grad_(True)
    size = max(settings.batch_size // (T - 1), 1)
    with torch_threads(1):
        if dual:
            assert target_timesteps is not None
            target_share = (target_timesteps - 1) / (T - 1)
            rule = best_threshold(traces, target_timesteps)
            labels = torch.from_numpy((rule.trace_scores(traces) >= rule.level).astype(np.float32))
            _imitate(weights, inputs, labels, settings, _batches(N, size, settings.imitation, generator))
        optimizer = torch.optim.AdamW(weights.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, count)
        for step, rows in enumerate(_batches(N, size, count, generator)):
            rewards = correct[rows] - cost * share if dual else row_rewards[rows]
            logits = run_perceptron(weights, inputs[rows].flatten(0, 1))
            distribution = exit_distribution(torch.sigmoid(logits).reshape(len(rows), T - 1))
            values = (distribution * rewards).sum(-1)
            if settings.entropy:
                entropy = torch.special.entr(distribution.clamp(min=1e-9)).sum(-1)
                values = values + settings.entropy * (1 - step / count) * entropy
            loss = -values.mean()
            if dual:
                excess = (distribution * share).sum(-1).mean() - target_share
                loss = loss + settings.penalty / 2 * excess.square()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            if dual:
                cost = max(cost + settings.dual_rate * settings.penalty * float(excess.detach()), 0.0)
            if on_progress is not None:
                on_progress((step + 1) / count, lambda: policy)
    for tensor in weights.values():
        tensor.requires_grad_(False)
    if dual:
        policy.settings["cost"] = cost
    return policy


def _imitate(
    weights: dict[str, Tensor], inputs: Tensor, labels: Tensor, settings: ExitSettings, batches: Iterator[Tensor]
) -> None:
    """Fit the exit logits of inputs `[N, T-1, F]` to another policy's actions, `[N, T-1]` float32 of 0 and 1."""
    optimizer = torch.optim.AdamW(weights.values(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    for rows in batches:
        logits = run_perceptron(weights, inputs[rows].flatten(0, 1))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[rows].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


def _batches(count: int, size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of rows for `steps` steps, each pass in a new order."""
    done = 0
    while True:
        for rows in torch.randperm(count, generator=generator).split(size):
            if done == steps:
                return
            done += 1
            yield rows
