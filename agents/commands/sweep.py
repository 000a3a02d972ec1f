"""`seenn sweep`: policies over algorithms, prices, observations and seeds, on Ray, and one comparison of them all."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import agents
from agents import learners
from agents.commands.compare import MAKES as COMPARISON
from agents.commands.compare import RULES, check_targets, line_up
from agents.commands.output import EVENTS, open_folder
from agents.commands.policies import named_rules
from agents.commands.stated_default import Stated
from agents.commands.train import load_traces
from agents.commands.trainings import Training, check_ray, results
from agents.commands.unused_options import refuse_unused
from backbones import InputError
from backbones.argument_checks import Natural, Positive
from backbones.atomic import write_atomic
from backbones.errors import counted

if TYPE_CHECKING:
    from agents.policies import AnyPolicy

MAKES = rf"policies/[^/]+\.safetensors|training/(.+/)?{EVENTS}|comparison/({COMPARISON})"
"""Files of the result."""


@dataclass(frozen=True)
class Sweep:
    """Train policies over algorithms, prices, observations and seeds, on several machines too, and compare them.

    For example:

        seenn sweep --traces digits --algorithms exact ppo --targets 1.2 1.5 --seeds 3 --output runs/sweep
    """

    traces: tuple[Path, ...]
    """Traces files with rows of splits "policy", "calibration" and "test", at the same path on every machine."""
    output: Path
    """Folder for the policies, their learning curves and their comparison."""
    algorithms: tuple[str, ...] = ("exact", "ppo")
    """Algorithms, as in seenn train."""
    targets: tuple[float, ...] = (1.2, 1.5, 2.0)
    """Mean timesteps that policies are trained for (without --costs) and compared at."""
    costs: Stated[tuple[float, ...]] = ()
    """Prices of time, in the reward "linear", to train at instead of for targets (default: none)."""
    observations: Stated[tuple[str, ...]] = ()
    """Observations (default: that of each algorithm)."""
    seeds: Positive = 3
    """Number of trainings of each setting."""
    total_timesteps: Stated[Positive | None] = None
    """Steps of the environment, for the algorithms of stable-baselines3 (default: 300,000)."""
    seed: Natural = 0
    """Seed of the bootstrap, and of the first training of each setting; the others count on from it."""
    workers: Stated[Natural | None] = None
    """Processes of Ray on this machine (default: one for each CPU); 0 trains in this process, without Ray."""
    address: str | None = None
    """Address of a running Ray cluster to train on: HOST:PORT, or auto."""
    overwrite: bool = False
    """Replace an earlier result."""
    resumes: ClassVar[bool] = True

    def run(self) -> None:
        """Train, say which trainings failed, and print the table of the others."""
        if not self.algorithms:
            raise InputError("Expected at least one algorithm, got none: name some after --algorithms.")
        if set(self.algorithms) <= set(learners.TRAINERS):
            refuse_unused(self, ["total_timesteps"], "with algorithms that run no environment")
        if self.address is not None:
            refuse_unused(self, ["workers"], "with an --address, whose cluster has its own")
        traces = load_traces(self.traces)
        _, calibration, test = (traces.select(split) for split in ("policy", "calibration", "test"))
        check_targets(self.targets, traces.timesteps)
        trainings = self._trainings()
        for training in trainings:
            training.check(traces, self.total_timesteps)
        if self.workers != 0:
            check_ray()
        anywhere = replace(self, workers=None, address=None)  # the policies are the same
        output = open_folder(self.output, anywhere, self.overwrite, makes=MAKES)
        policies, curves, comparison = (output.work / name for name in ("policies", "training", "comparison"))
        missing = [training for training in trainings if not (policies / training.file).exists()]
        print(f"train {len(missing)} of {counted(len(trainings), 'policy')}", flush=True)
        failed = 0
        paths = [str(path.resolve() if path.exists() else path) for path in self.traces]
        given = (missing, paths, self.total_timesteps)
        with closing(results(*given, workers=self.workers, address=self.address)) as ended:  # ends Ray after Ctrl-C too
            for count, (training, result) in enumerate(ended, 1):
                if isinstance(result, str):
                    failed += 1
                    reason = f"{training.policy}, seed {training.seed} failed: {result}"
                    print(f"seenn: {reason}", file=sys.stderr, flush=True)
                else:
                    for name, content in result.log.items():
                        write_atomic(curves / name, content)
                    agents.save(result.policy, policies / training.file)
                    print(f"{count}/{len(missing)}: {training.policy}, seed {training.seed}", flush=True)
        learned: dict[str, list[AnyPolicy]] = {}
        for training in trainings:
            if (policies / training.file).exists():
                learned.setdefault(training.policy, []).append(agents.load(policies / training.file))
        if learned:
            for folder, pattern in (
                (comparison, "**/events.out.tfevents.*"),
                (curves, "*(mean of *)/events.out.tfevents.*"),
            ):
                for file in folder.glob(pattern):  # of a comparison without the policies that failed before
                    file.unlink()
            for training in trainings:
                if training.seed == self.seed and len(learned.get(training.policy, [])) > 1:
                    learners.write_means(curves, training.curves)
            entries = line_up(test, calibration, self.targets, named_rules(RULES), learned if self.costs else {})
            entries = entries if self.costs else learned | entries
            print(agents.compare(entries, test, log_dir=comparison, seed=self.seed).table())
        if failed:
            print(
                f"seenn: {failed} of {counted(len(missing), 'training')} failed; the same command tries them again.",
                file=sys.stderr,
            )
            sys.exit(1)
        output.close()
        print("report:", output.final / "comparison" / "report.html")
        print("TensorBoard: tensorboard --logdir", output.final)

    def _trainings(self) -> list[Training]:
        """Every setting, once."""
        costs, targets = (self.costs, [None]) if self.costs else ([None], self.targets)
        seeds = range(self.seed, self.seed + self.seeds)
        axes = (self.algorithms, self.observations or [None], costs, targets, seeds)
        return list(dict.fromkeys(Training(*values) for values in product(*axes)))
