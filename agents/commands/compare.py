"""`seenn compare`: policies and rules on a test trace."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.calibration.levels import calibrate
from agents.commands.output import EVENTS, open_folder
from agents.commands.train import load_traces
from agents.commands.unused_options import refuse_unused
from agents.comparison.comparison import compare
from agents.policies import RULES
from agents.policy_files import load
from agents.rules.score import fingerprint_of
from agents.rules.thresholds import FixedTimestep, Oracle, Uniform
from backbones import InputError
from backbones.errors import unknown_name
from seenn_env import Traces
from seenn_env.evaluation import evaluated_rows

MAKES = rf"table\.txt|comparison\.(json|png)|tensorboard/{EVENTS}"
"""The files of a comparison."""


@dataclass(frozen=True)
class Compare:
    """Compare policies and rules: a table, a picture, JSON and TensorBoard."""

    traces: tuple[Path, ...]
    """Traces files to compare on."""
    output: Path
    """Folder for the results."""
    split: str | None = None
    """Which split's rows to compare on (default: "test", where the files have several)."""
    calibration: tuple[Path, ...] = ()
    """Traces files with rows of split "calibration", on which rules and policies are set to the targets."""
    targets: tuple[float, ...] = (1.2, 1.5, 2.0)
    """Mean timesteps to set them to."""
    policies: tuple[str, ...] = ()
    """Learned policies as NAME=FILE; one NAME several times is one policy over several seeds."""
    rules: tuple[str, ...] | None = None
    """Names of the rules to calibrate (default: confidence and per-timestep-margin)."""
    seed: int = 0
    """Of the bootstrap."""
    overwrite: bool = False
    """Replace a result that is there."""

    def run(self) -> None:
        """Compare and print the table."""
        test = evaluated_rows(load_traces(self.traces), self.split)
        learned: dict[str, list[Any]] = {}
        for entry in self.policies:
            name, separator, file = entry.partition("=")
            if not separator:
                raise InputError(f"Expected policies as NAME=FILE, got {entry!r}.")
            learned.setdefault(name, []).append(load(file))
        rules = ("confidence", "per-timestep-margin") if self.rules is None else self.rules
        for name in rules:
            if name not in RULES:
                raise unknown_name("rule", name, RULES)
        if not self.calibration:
            refuse_unused(self, ["rules", "targets"], "without --calibration")
        calibration = load_traces(self.calibration).select("calibration") if self.calibration else None
        for group in learned.values():
            for policy in group:
                test.check_backbone(fingerprint_of(policy))
        if calibration is not None:
            calibration.check_backbone(test.info.get("fingerprint"))
        entries = line_up(test, calibration, self.targets, {name: RULES[name] for name in rules}, learned)
        output = open_folder(self.output, self, self.overwrite, makes=MAKES)
        print(compare(entries, test, log_dir=output.work, seed=self.seed).table())
        output.close()
        print("report:", output.final)


def line_up(
    test: Traces,
    calibration: Traces | None,
    targets: tuple[float, ...],
    rules: dict[str, Any],
    learned: dict[str, list[Any]],
) -> dict[str, Any]:
    """The policies of a comparison by name: fixed, random, calibrated rules, learned ones, the oracle.

    Without calibration traces, rules are left out and learned policies stay as they are.
    """
    entries: dict[str, Any] = {f"fixed t={t}": FixedTimestep(t) for t in range(1, test.timesteps + 1)}
    entries["uniform"] = Uniform()
    if calibration is None:
        entries |= learned
    else:
        for target in targets:
            for name, rule in rules.items():
                entries[f"{name} @ {target:g}"] = calibrate(rule, calibration, target_timesteps=target)
        for name, group in learned.items():
            for target in targets:
                entries[f"{name} @ {target:g}"] = [
                    calibrate(policy, calibration, target_timesteps=target) for policy in group
                ]
    entries["oracle"] = Oracle()
    return entries
