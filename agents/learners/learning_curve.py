"""Learning curves of every algorithm in TensorBoard: a policy in training, evaluated exactly on held-out rows.

with LearningCurve("runs/log", "ppo-seed0", held_out, target_timesteps=1.5, total=300_000) as curve:
    curve(step, policy)          # writes every total / POINTS steps
"""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from agents.calibration.best_rule import best_threshold
from agents.calibration.curve import exits_at, level_curve
from agents.rules.score import ScoredPolicy
from agents.rules.thresholds import Oracle
from seenn_env import Traces
from seenn_env.rewards import AnyReward

POINTS = 200
"""Of a curve."""
TAGS = ("accuracy", "mean_timesteps", "return", "accuracy_at_target")
"""With the prefix "eval/"; the last one where there is a target."""


class ExactEvaluation:
    """Accuracy (%), mean timesteps and mean reward of a policy on rows, and its accuracy at the level of a target.

    Args:
        traces: the rows, of a split that is not trained on.
        reward: a name, or a reward.
        reward_options: of the reward.
        target_timesteps: mean timesteps.
    """

    def __init__(
        self,
        traces: Traces,
        *,
        reward: AnyReward = "linear",
        reward_options: dict[str, Any] | None = None,
        target_timesteps: float | None = None,
    ) -> None:
        self.traces, self.target = traces, target_timesteps
        self.rewards = traces.rewards(reward, reward_options)

    def __call__(self, policy: ScoredPolicy) -> dict[str, float]:
        """Values by tag."""
        scores = policy.trace_scores(self.traces)
        values = self.of_exits(exits_at(scores, policy.level))
        if self.target is not None:
            curve = level_curve(scores, self.traces.correct)
            values["eval/accuracy_at_target"] = 100 * float(curve.accuracy[curve.nearest(self.target)])
        return values

    def of_exits(self, exits: np.ndarray) -> dict[str, float]:
        """Values by tag for exit timesteps `[N]`."""
        at = np.arange(len(exits)), exits - 1
        return {
            "eval/accuracy": 100 * float(self.traces.correct[at].mean()),
            "eval/mean_timesteps": float(exits.mean()),
            "eval/return": float(self.rewards[at].mean()),
        }


class LearningCurve:
    """The curve of one training: a run of its own in a folder for TensorBoard, beside the runs of references.

    Args:
        log_dir: the folder.
        name: of the run; a second training of that name gets "-2".
        evaluation: of the policies.
        total: steps of the training.
    """

    def __init__(self, log_dir: str | Path, name: str, evaluation: ExactEvaluation, *, total: int) -> None:
        self.evaluation, self.total = evaluation, total
        self.folder = next(
            folder
            for number in range(1, 10**6)
            if not (folder := Path(log_dir) / (name if number == 1 else f"{name}-{number}")).exists()
        )
        if not list(Path(log_dir).glob("events.out.tfevents.*")):
            _write_layout(Path(log_dir), evaluation.target)
        _write_references(Path(log_dir), evaluation, total)
        self._writer = SummaryWriter(str(self.folder))
        self._next = 0.0

    def __call__(self, step: int, policy: Callable[[], ScoredPolicy]) -> None:
        """Evaluate and write the policy, where the last time was long enough ago."""
        if step >= self._next or step >= self.total:
            self._next = step + self.total / POINTS
            for tag, value in self.evaluation(policy()).items():
                self._writer.add_scalar(tag, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def _write_layout(log_dir: Path, target_timesteps: float | None) -> None:
    """The layout of the tab "Custom scalars"."""
    charts = {
        "accuracy at the target (%)": "accuracy_at_target",
        "accuracy (%)": "accuracy",
        "mean timesteps": "mean_timesteps",
        "mean reward": "return",
    }
    if target_timesteps is None:
        del charts["accuracy at the target (%)"]
    layout = {title: ["Multiline", [f"eval/{tag}$"]] for title, tag in charts.items()}
    with SummaryWriter(str(log_dir)) as writer:
        writer.add_custom_scalars({"training, evaluated exactly on held-out rows": layout})


def _write_references(log_dir: Path, evaluation: ExactEvaluation, total: int) -> None:
    """Flat lines of the oracle and of the best rule with one threshold at the target, once."""
    traces, target = evaluation.traces, evaluation.target
    lines = {"oracle": evaluation.of_exits(Oracle().exit_timesteps(traces))}
    if target is not None:
        rule = best_threshold(traces, target)
        lines[f"{type(rule).__name__} at {target:g}"] = evaluation(rule)
    for name, values in lines.items():
        folder = log_dir / "reference" / name
        if not folder.exists():
            with SummaryWriter(str(folder)) as writer:
                for tag, value in values.items():
                    for step in np.linspace(0, total, POINTS).astype(int):  # dense, for TensorBoard's smoothing
                        writer.add_scalar(tag, value, step)
