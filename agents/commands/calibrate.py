"""`seenn calibrate`: a policy at the threshold that meets a target, from traces."""

from __future__ import annotations

import sys
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import agents
from agents import calibration, comparison
from agents.commands.option_names import spelt_as_options
from agents.commands.output import check_file, print_json
from agents.commands.policies import check_calibratable, named_rules
from agents.commands.stated_default import Stated
from agents.commands.train import load_traces
from agents.commands.unused_options import refuse_unused
from backbones import InputError
from backbones.argument_checks import Natural
from backbones.errors import counted
from seenn_env import Traces, evaluate
from seenn_env.evaluation import check_trained_for


@dataclass(frozen=True)
class Calibrate:
    """Set a policy's threshold for mean timesteps, or for a loss of accuracy against all timesteps.

    A loss with a confidence is guaranteed for new samples (learn-then-test); without one, it is that of the calibration
    samples.

    For example:

        seenn calibrate --traces digits --policy margin --max-loss-points 3 --output runs/margin.safetensors
    """

    traces: tuple[Path, ...]
    """Traces files, or packaged names, with rows of split "calibration"."""
    policy: str
    """Name of a rule, file of a policy, or name of a packaged one."""
    output: Path
    """File of the calibrated policy."""
    target_timesteps: Stated[float | None] = None
    """Mean timesteps, from 1 to T (default: by --max-loss-points)."""
    max_loss_points: Stated[float | None] = None
    """Largest loss of accuracy against all timesteps, in percentage points (default: by --target-timesteps)."""
    confidence: Stated[float | None] = None
    """Confidence of a guaranteed loss, such as 0.95 (default: no guarantee)."""
    test: Stated[tuple[Path, ...]] = ()
    """Traces files with rows of split "test", to evaluate on (default: none)."""
    seed: Natural = 0
    """Seed of the bootstrap."""
    json: bool = False
    """Print one JSON object instead of text."""
    overwrite: bool = False
    """Replace an existing file."""

    def run(self) -> None:
        """Calibrate, save, and print accuracy and mean timesteps with their intervals."""
        check_file(self.output, self)
        self._check_target()
        policy = calibratable(self.policy)
        traces = load_traces(self.traces)
        shown = {"calibration": traces.select("calibration")}
        if self.test:
            shown["test"] = load_traces(self.test).select("test")
            shown["test"].check_backbone(traces.info.get("fingerprint"))
        check_trained_for(policy, traces)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            policy, guarantee = self._calibrated(policy, traces, shown["calibration"])
        notes = [spelt_as_options(str(each.message), Calibrate, (), ()) for each in caught]
        results = {split: _result(policy, part, self.seed) for split, part in shown.items()}
        wanted = {name: getattr(self, name) for name in ("target_timesteps", "max_loss_points", "confidence")}
        about: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
        origin: dict[str, Any] = {name: traces.info[name] for name in ("dataset", "fingerprint") if name in traces.info}
        agents.save(policy, self.output, about={**about, **origin, "calibration": results["calibration"]})
        if self.json:
            facts = {
                **about,
                "threshold": getattr(policy, "threshold", None),
                "guarantee": guarantee,
                "warnings": notes,
            }
            print_json({"output": str(self.output), "policy": type(policy).__name__, **facts, "results": results})
            return
        for note in notes:
            print(f"seenn: {note}", file=sys.stderr)
        if guarantee is not None:
            print(guarantee)
        for split, result in results.items():
            print(_sentence(split, result))
        print("policy:", self.output)

    def _check_target(self) -> None:
        if (self.target_timesteps is None) == (self.max_loss_points is None):
            given = "none" if self.target_timesteps is None else "both"
            raise InputError(f"Expected either --target-timesteps or --max-loss-points, got {given}.")
        if self.max_loss_points is None:
            refuse_unused(self, ["confidence"], "without --max-loss-points")
        elif not 0 < self.max_loss_points < 100:
            raise InputError(f"Expected max_loss_points between 0 and 100, got {self.max_loss_points:g}.")
        if self.confidence is not None and not 0 < self.confidence < 1:
            raise InputError(f"Expected a confidence between 0 and 1, got {self.confidence:g}.")

    def _calibrated(self, policy: Any, traces: Traces, rows: Traces) -> tuple[Any, str | None]:
        """The policy at its target, and its guarantee as a sentence where there is one."""
        if self.max_loss_points is None:
            return agents.calibrate(policy, rows, target_timesteps=self.target_timesteps), None
        loss, full = self.max_loss_points / 100, float(rows.accuracy[-1])
        if self.confidence is None:
            if loss >= full:
                raise InputError(
                    f"Expected max_loss_points below the accuracy of all timesteps, {100 * full:.2f} %, got "
                    f"{self.max_loss_points:g}."
                )
            enough = full - loss - 1e-9  # a loss of exactly that many points is allowed, however it is rounded
            return agents.calibrate(policy, rows, target_accuracy=enough), None
        others = traces.select("policy") if "policy" in traces.split.split("+") else None
        found = calibration.control_risk(policy, rows, max_risk=loss, confidence=self.confidence, levels_from=others)
        least = calibration.least_samples(loss, self.confidence)
        if found.is_full and found.samples < least:
            raise InputError(
                f"Expected at least {least} samples of split 'calibration' for a loss of {self.max_loss_points:g} "
                f"points with {100 * self.confidence:g} % confidence, got {found.samples}: record more, or allow more "
                "loss or less confidence."
            )
        return found.policy, str(found)


def calibratable(name: str) -> Any:
    """The rule or policy of that name or file; an `InputError` for an unknown one, or one without a threshold."""
    if "/" in name or Path(name).suffix or Path(name).exists():
        policy: Any = agents.load(name)
    else:
        (policy,) = named_rules([name]).values()
    check_calibratable(policy)
    return policy


def _result(policy: Any, traces: Traces, seed: int) -> dict[str, Any]:
    """Accuracy and mean timesteps with their intervals on the rows of one split."""
    found, clusters = evaluate(policy, traces), comparison.Clusters(traces.sample, seed=seed)
    accuracy = comparison.mean_interval(found.correct, clusters)
    timesteps = comparison.mean_interval(found.exit_timesteps, clusters)
    full = {"samples": clusters.count, "timesteps": traces.timesteps, "accuracy_of_all": float(traces.accuracy[-1])}
    return {"accuracy": asdict(accuracy), "mean_timesteps": asdict(timesteps), **full}


def _sentence(split: str, result: dict[str, Any]) -> str:
    a, t, full = result["accuracy"], result["mean_timesteps"], result["accuracy_of_all"]
    return (
        f"on {split}: accuracy {100 * a['estimate']:.2f} % [{100 * a['low']:.2f}, {100 * a['high']:.2f}] at "
        f"{t['estimate']:.3f} [{t['low']:.3f}, {t['high']:.3f}] timesteps; all {result['timesteps']}: "
        f"{100 * full:.2f} % ({counted(result['samples'], 'sample')})"
    )
