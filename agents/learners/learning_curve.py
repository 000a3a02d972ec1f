"""Learning curves of every algorithm in TensorBoard: a policy in training, evaluated exactly on held-out rows.

curve = LearningCurve("runs/log", "ppo-seed0", ExactEvaluation(held_out, target_timesteps=1.5))
curve(0.1, lambda: policy)
"""

import math
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from agents.calibration.best_rule import best_threshold
from agents.calibration.curve import exits_at, level_curve
from agents.rules.score import ScoredPolicy
from agents.rules.thresholds import Oracle
from backbones import InputError
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
        if target_timesteps is not None and not 1 <= target_timesteps <= traces.timesteps:
            raise InputError(f"Expected target_timesteps from 1 to T = {traces.timesteps}, got {target_timesteps}.")
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

    The step of a scalar is 1,000 × the fraction of the training that is done, whatever the algorithm.

    Args:
        log_dir: the folder.
        name: of the run; a second training of that name gets "-2".
        evaluation: of the policies.
    """

    def __init__(self, log_dir: str | Path, name: str, evaluation: ExactEvaluation) -> None:
        self.evaluation = evaluation
        self.folder = next(
            folder
            for number in count(1)
            if not (folder := Path(log_dir) / (name if number == 1 else f"{name}-{number}")).exists()
        )
        if not list(Path(log_dir).glob("events.out.tfevents.*")):
            _write_layout(Path(log_dir), evaluation.target)
        _write_references(Path(log_dir), evaluation)
        self._writer = SummaryWriter(str(self.folder))
        self._next = 0.0

    def __call__(self, done: float, policy: Callable[[], ScoredPolicy]) -> None:
        """Write the policy's values, where the last time was long enough ago."""
        if done >= self._next:
            self._next = min(done + 1 / POINTS, 1.0) if done < 1 else math.inf
            for tag, value in self.evaluation(policy()).items():
                self._writer.add_scalar(tag, value, round(1000 * done))

    def close(self, policy: ScoredPolicy) -> None:
        """Write the trained policy's row of the tab "HParams"."""
        facts = {
            name: value if isinstance(value, str) else float(value or 0)
            for name in ("algorithm", "reward", "seed", "total_timesteps")
            if isinstance(value := policy.settings.get(name), str | int | float)
        }
        facts["observation"] = str(policy.observation)
        metrics = {f"hparam/{tag.partition('/')[2]}": value for tag, value in self.evaluation(policy).items()}
        write_hparams(self._writer, facts, metrics)
        self._writer.close()


def write_hparams(writer: SummaryWriter, facts: dict[str, Any], metrics: dict[str, float]) -> None:
    """One row of the tab "HParams" for the writer's run."""
    for summary in hparams(facts, metrics):
        writer._get_file_writer().add_summary(summary)  # add_hparams would make a run of its own
    for name, value in metrics.items():
        writer.add_scalar(name, value)


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
    lines = {title: ["Multiline", [f"eval/{tag}$"]] for title, tag in charts.items()}
    bands = {
        title: ["Margin", [f"eval/{tag}", f"seeds/{tag}_low", f"seeds/{tag}_high"]] for title, tag in charts.items()
    }
    with SummaryWriter(str(log_dir)) as writer:
        writer.add_custom_scalars(
            {"training, evaluated exactly": lines, "training, mean and range of the seeds": bands}
        )


def _write_references(log_dir: Path, evaluation: ExactEvaluation) -> None:
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
                    for step in range(0, 1001, 1000 // POINTS):  # dense, for TensorBoard's smoothing
                        writer.add_scalar(tag, value, step)


def write_means(log_dir: str | Path, algorithm: str) -> None:
    """A run "ppo (mean of 3 seeds)" with the mean, smallest and largest values of an algorithm's runs in a folder."""
    runs = [folder for folder in sorted(Path(log_dir).glob(f"{algorithm}-seed*")) if folder.is_dir()]
    logs = [EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload() for folder in runs]
    tags = [f"eval/{tag}" for tag in TAGS if all(f"eval/{tag}" in log.Tags()["scalars"] for log in logs)]
    with SummaryWriter(str(Path(log_dir) / f"{algorithm} (mean of {len(runs)} seeds)")) as writer:
        for tag in tags:
            values = [{event.step: event.value for event in log.Scalars(tag)} for log in logs]
            for step in sorted(set.intersection(*map(set, values))):
                present = [each[step] for each in values]
                writer.add_scalar(tag, float(np.mean(present)), step)
                for name, end in (("low", min(present)), ("high", max(present))):
                    writer.add_scalar(f"seeds/{tag.partition('/')[2]}_{name}", end, step)
