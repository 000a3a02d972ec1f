"""`seenn compare`: policies and rules on test traces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

import agents
from agents import comparison
from agents.commands.output import EVENTS, on_terminal, open_folder, print_json
from agents.commands.policies import check_calibratable, named_rules
from agents.commands.stated_default import Stated
from agents.commands.train import load_traces
from agents.commands.unused_options import refuse_unused
from backbones import InputError
from backbones.argument_checks import Natural
from seenn_env import Traces
from seenn_env.evaluation import check_trained_for, evaluated_rows

MAKES = rf"table\.txt|report\.html|comparison(-dark)?\.(json|png)|tensorboard/(.+/)?{EVENTS}"
"""Files of the result."""
RULES = ("confidence", "per-timestep-margin")
"""Rules that are compared unless others are named."""


@dataclass(frozen=True)
class Compare:
    """Compare policies and rules: a table, a picture, JSON and TensorBoard.

    For example:

        seenn compare --traces digits --calibration digits --policies PPO=runs/ppo.safetensors --output runs/compare
    """

    traces: tuple[Path, ...]
    """Traces files to compare on."""
    output: Path
    """Folder for the results."""
    split: Stated[str | None] = None
    """Split whose rows are compared on (default: "test", where the files have several)."""
    calibration: Stated[tuple[Path, ...]] = ()
    """Traces files with rows of split "calibration", on which rules and policies are calibrated to the targets
    (default: none)."""
    targets: tuple[float, ...] = (1.2, 1.5, 2.0)
    """Mean timesteps to calibrate to."""
    policies: Stated[tuple[str, ...]] = ()
    """Learned policies as NAME=FILE; one NAME several times is one policy over several seeds (default: none)."""
    rules: Stated[tuple[str, ...] | None] = None
    """Names of the rules to calibrate (default: confidence and per-timestep-margin)."""
    seed: Natural = 0
    """Seed of the bootstrap."""
    json: bool = False
    """Print one JSON object instead of the table."""
    overwrite: bool = False
    """Replace an earlier result."""

    def run(self) -> None:
        """Compare and print the table."""
        test = evaluated_rows(load_traces(self.traces), self.split)
        learned: dict[str, list[Any]] = {}
        for entry in self.policies:
            name, separator, file = entry.partition("=")
            if not separator or not name or not file:
                raise InputError(f"Expected --policies as NAME=FILE, got {entry!r}.")
            if self.policies.count(entry) > 1:
                raise InputError(f"Expected each policy once, got {entry} twice: one file is no second seed.")
            learned.setdefault(name, []).append(agents.load(file))
        comparison.check_members(learned)
        calibrated = named_rules(RULES if self.rules is None else self.rules)
        if not self.calibration:
            refuse_unused(self, ["rules", "targets"], "without --calibration")
        else:
            check_targets(self.targets, test.timesteps)
        calibration = load_traces(self.calibration).select("calibration") if self.calibration else None
        for group in learned.values():
            for policy in group:
                check_trained_for(policy, test)
                if calibration is not None:
                    check_calibratable(policy)
        if calibration is not None:
            calibration.check_backbone(test.info.get("fingerprint"))
        output = open_folder(self.output, self, self.overwrite, makes=MAKES)
        try:
            entries = line_up(test, calibration, self.targets, calibrated, learned, progress=on_terminal())
            found = agents.compare(entries, test, log_dir=output.work, seed=self.seed, progress=on_terminal())
        finally:
            output.discard_without("report.html")  # refused policies must not block others
        output.close()
        report = output.final / "report.html"
        if self.json:
            print_json({**found.to_dict(), "report": str(report)})
        else:
            print(found.table())
            print("report:", report)


def check_targets(targets: tuple[float, ...], timesteps: int) -> None:
    """Raise an `InputError` for no targets, or for mean timesteps out of 1…T."""
    if not targets or min(targets) < 1 or max(targets) > timesteps:
        given = " ".join(f"{target:g}" for target in targets) or "none"
        raise InputError(f"Expected targets from 1 to T = {timesteps}, got {given}.")


def line_up(
    test: Traces,
    calibration: Traces | None,
    targets: tuple[float, ...],
    rules: dict[str, Any],
    learned: dict[str, list[Any]],
    *,
    progress: bool = False,
) -> dict[str, Any]:
    """The policies of a comparison by name: fixed, random, calibrated rules, learned ones, the oracle.

    Without calibration traces, rules are left out and learned policies stay as they are. `progress` shows a running
    line.
    """
    taken = ["fixed", "uniform", "oracle", *(rules if calibration is not None else ())]
    for name in learned:
        if name.partition(" @ ")[0] in taken:
            raise InputError(f"Expected names of policies other than {', '.join(taken)}, got {name!r}: rename it.")
    entries: dict[str, Any] = {f"fixed @ {t}": agents.FixedTimestep(t) for t in range(1, test.timesteps + 1)}
    entries["uniform"] = agents.Uniform()
    if calibration is None:
        entries |= learned
    else:
        wanted = [(name, [rule], target) for target in targets for name, rule in rules.items()]
        wanted += [(name, group, target) for name, group in learned.items() for target in targets]
        for name, group, target in tqdm(wanted, desc="calibrate", unit="policy", leave=False, disable=not progress):
            calibrated = [agents.calibrate(policy, calibration, target_timesteps=target) for policy in group]
            entries[f"{name} @ {target:g}"] = calibrated
    entries["oracle"] = agents.Oracle()
    return entries
