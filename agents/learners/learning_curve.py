"""Learning curves of every algorithm in TensorBoard: a policy in training, evaluated exactly on held-out rows.

curve = LearningCurve("runs/log", "ppo-seed0", ExactEvaluation(held_out, target_timesteps=1.5))
curve(0.1, lambda: policy)
"""

import math
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import IO, Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard.summary import hparams

from agents.calibration.best_rule import best_threshold
from agents.calibration.curve import exits_at, level_curve
from agents.rules.score import ScoredPolicy
from agents.rules.thresholds import Oracle
from backbones import InputError
from backbones.argument_checks import check_kinds
from backbones.atomic import check_file_name, lock, new_folder, sync_folder
from backbones.event_log import EVENT_FILES, EventLog
from seenn_env import Traces
from seenn_env.rewards import AnyReward

POINTS = 200
"""Of a curve."""
TAGS = {
    "accuracy_at_target": "accuracy at the target (%)",
    "accuracy": "accuracy (%)",
    "mean_timesteps": "mean timesteps",
    "return": "mean reward",
}
"""Title of each tag's chart; the tags have the prefix "eval/", and there is the first one where there is a target."""


class ExactEvaluation:
    """Accuracy (%), also at the level of a target, mean timesteps and mean reward of a policy on held-out rows."""

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
        self.traces, self.target, self.reward = traces, target_timesteps, reward
        self.reward_options = dict(reward_options or {})
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

    The step of a scalar is 1,000 × the fraction of the training that is done, whatever the algorithm. A second training
    of a name gets "-2", unless the first did not finish.
    """

    def __init__(self, log_dir: str | Path, name: str, evaluation: ExactEvaluation) -> None:
        self.evaluation = evaluation
        folder, self._mark = _new_run(Path(log_dir), name)
        if not list(Path(log_dir).glob(EVENT_FILES)):
            _write_layout(Path(log_dir), evaluation.target)
        _write_references(Path(log_dir), evaluation)
        self.log = EventLog(folder, grows=True)
        self._next = 0.0

    def __call__(self, done: float, policy: Callable[[], ScoredPolicy]) -> None:
        """Write the policy's values, where the last time was long enough ago."""
        if done >= self._next:
            self._next = min(done + 1 / POINTS, 1.0) if done < 1 else math.inf
            for tag, value in self.evaluation(policy()).items():
                self.log.add_scalar(tag, value, round(1000 * done))
            self.log.flush()

    def close(self, policy: ScoredPolicy) -> None:
        """Write the trained policy's row of the tab "HParams"."""
        facts = {
            name: value if isinstance(value, str) else float(value or 0)
            for name in ("algorithm", "reward", "seed", "total_timesteps")
            if isinstance(value := policy.settings.get(name), str | int | float)
        }
        facts["observation"] = str(policy.observation)
        metrics = {f"hparam/{tag.partition('/')[2]}": value for tag, value in self.evaluation(policy).items()}
        write_hparams(self.log, facts, metrics)
        self.log.close()

    def finish(self) -> None:
        """Keep the run from being replaced by the next of its name."""
        mark = Path(self._mark.name)
        mark.unlink()
        sync_folder(mark.parent)
        self._mark.close()


def _new_run(log_dir: Path, name: str) -> tuple[Path, IO[str]]:
    """The folder of a run, and the mark beside it that the run is unfinished, locked while the process lives."""
    for number in count(1):
        folder = log_dir / (name if number == 1 else f"{name}-{number}")
        path = _mark_of(folder)
        if folder.exists() and not path.exists():
            continue
        check_file_name(path)
        with new_folder(log_dir):
            mark = path.open("a")
        try:
            lock(mark.fileno())
        except BlockingIOError:
            mark.close()
            continue
        sync_folder(log_dir)  # before the run's folder is there
        for file in folder.glob(EVENT_FILES):
            file.unlink()
        return folder, mark
    raise AssertionError


def _mark_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.unfinished")


@check_kinds
def finish_runs(log_dir: str | Path, name: str) -> None:
    """Keep runs of a name whose policy was saved before their process was killed."""
    for mark in Path(log_dir).glob(".*.unfinished"):
        if re.fullmatch(rf"\.{re.escape(name)}(-\d+)?\.unfinished", mark.name):
            mark.unlink()
    sync_folder(Path(log_dir))


def write_hparams(writer: EventLog, facts: dict[str, Any], metrics: dict[str, float]) -> None:
    """One row of the tab "HParams" for the writer's run."""
    for summary in hparams(facts, metrics):
        writer._get_file_writer().add_summary(summary)  # add_hparams would make a run of its own
    for name, value in metrics.items():
        writer.add_scalar(name, value)


def _write_layout(log_dir: Path, target_timesteps: float | None) -> None:
    """The layout of the tab "Custom scalars"; `write_means` adds the bands over seeds."""
    shown = {tag: title for tag, title in TAGS.items() if tag != "accuracy_at_target" or target_timesteps is not None}
    lines = {title: ["Multiline", [f"eval/{tag}$"]] for tag, title in shown.items()}
    with EventLog(log_dir) as writer:
        writer.add_custom_scalars({"training, evaluated exactly": lines})


def _write_references(log_dir: Path, evaluation: ExactEvaluation) -> None:
    """Flat lines of the oracle and of the best rule with one threshold at the target, once for each reward."""
    traces, target, options = evaluation.traces, evaluation.target, evaluation.reward_options
    lines = {"oracle": evaluation.of_exits(Oracle().exit_timesteps(traces))}
    if target is not None:
        rule = best_threshold(traces, target)
        lines[f"{type(rule).__name__} at {target:g}"] = evaluation(rule)
    reward = evaluation.reward if isinstance(evaluation.reward, str) else "own reward"
    of_reward = "".join(f" {name}={value}" for name, value in options.items())
    of_reward = f", {reward}{of_reward}" if options or reward != "linear" else ""
    for name, values in lines.items():
        folder = log_dir / "reference" / f"{name}{of_reward}"
        if not list(folder.glob(EVENT_FILES)):
            with EventLog(folder) as writer:
                for tag, value in values.items():
                    for step in range(0, 1001, 1000 // POINTS):  # dense, for TensorBoard's smoothing
                        writer.add_scalar(tag, value, step)


@check_kinds
def write_means(log_dir: str | Path, algorithm: str) -> None:
    """A run "ppo (mean of 3 seeds)" with the mean, smallest and largest values of an algorithm's runs in a folder."""
    runs = [folder for folder in sorted(Path(log_dir).glob(f"{algorithm}-seed*")) if folder.is_dir()]
    if not runs:
        raise InputError(f"Expected runs {algorithm}-seed… in {log_dir}, found none: train into it first.")
    logs = [EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload() for folder in runs]
    tags = [tag for tag in TAGS if all(f"eval/{tag}" in log.Tags()["scalars"] for log in logs)]
    bands = {TAGS[tag]: ["Margin", [f"eval/{tag}", f"seeds/{tag}_low", f"seeds/{tag}_high"]] for tag in tags}
    with EventLog(Path(log_dir) / f"{algorithm} (mean of {len(runs)} seeds)") as writer:
        writer.add_custom_scalars({"training, mean and range of the seeds": bands})
        for tag in tags:
            values = [{event.step: event.value for event in log.Scalars(f"eval/{tag}")} for log in logs]
            for step in sorted(set.intersection(*map(set, values))):
                present = [each[step] for each in values]
                writer.add_scalar(f"eval/{tag}", float(np.mean(present)), step)
                for name, end in (("low", min(present)), ("high", max(present))):
                    writer.add_scalar(f"seeds/{tag}_{name}", end, step)
