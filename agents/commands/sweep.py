"""`seenn sweep`: policies over algorithms, prices, observations and seeds, on Ray, and one comparison of them all."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import agents
from agents import learners
from agents.commands.compare import MAKES as COMPARISON
from agents.commands.compare import RULES, check_targets, line_up
from agents.commands.output import open_folder
from agents.commands.policies import named_rules
from agents.commands.stated_default import Stated
from agents.commands.train import load_traces
from agents.commands.unused_options import refuse_unused
from backbones import InputError, machine
from backbones.argument_checks import Natural, Positive
from backbones.errors import unknown_name

if TYPE_CHECKING:
    from agents.policies import AnyPolicy

MAKES = rf"policies/[^/]+\.safetensors|comparison/({COMPARISON})"
"""Files of the result."""


@dataclass(frozen=True)
class Training:
    """The settings of one policy."""

    algorithm: str
    observation: str | None
    cost: float | None
    target: float | None
    seed: int

    @property
    def policy(self) -> str:
        """Name of the policy over all seeds."""
        observation = "" if self.observation is None else f" on {self.observation}"
        cost = "" if self.cost is None else f" at cost {self.cost:g}"
        return f"{self.algorithm}{observation}{cost}" + ("" if self.target is None else f" @ {self.target:g}")

    @property
    def file(self) -> str:
        """Name of the policy's file."""
        name = f"{self.policy}-seed{self.seed}".replace(" @ ", "@").replace(" ", "-")
        return quote(name, safe="@+") + ".safetensors"

    def run(self, traces: list[str], total_timesteps: int | None) -> AnyPolicy | str:
        """The policy, or the reason for which its training failed; runs in this process or in one of Ray's."""
        try:
            with machine.torch_threads(1):
                return agents.train(
                    self.algorithm,
                    load_traces(tuple(map(Path, traces))),
                    target_timesteps=self.target,
                    seed=self.seed,
                    observation=self.observation,
                    reward=None if self.cost is None else "linear",
                    reward_options=None if self.cost is None else {"cost": self.cost},
                    total_timesteps=None if self.algorithm in learners.TRAINERS else total_timesteps,
                )
        except InputError as error:
            return str(error)
        except Exception:
            return traceback.format_exc()


@dataclass(frozen=True)
class Sweep:
    """Train policies over algorithms, prices, observations and seeds, on several machines too, and compare them.

    For example:

        seenn sweep --traces digits --algorithms exact ppo --targets 1.2 1.5 --seeds 3 --output runs/sweep
    """

    traces: tuple[Path, ...]
    """Traces files with rows of splits "policy", "calibration" and "test", at the same path on every machine."""
    output: Path
    """Folder for the policies and their comparison."""
    algorithms: tuple[str, ...] = ("exact", "ppo")
    """Algorithms, as in seenn train."""
    targets: tuple[float, ...] = (1.2, 1.5, 2.0)
    """Mean timesteps that policies are trained for (without --costs) and compared at."""
    costs: tuple[float, ...] = ()
    """Prices of time, in the reward "linear", to train at instead of for targets."""
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
        for name in self.algorithms:
            if name not in learners.ALGORITHMS:
                raise unknown_name("algorithm", name, learners.ALGORITHMS)
        if set(self.algorithms) <= set(learners.TRAINERS):
            refuse_unused(self, ["total_timesteps"], "with algorithms that run no environment")
        if self.address is not None:
            refuse_unused(self, ["workers"], "with an --address, whose cluster has its own")
        traces = load_traces(self.traces)
        _, calibration, test = (traces.select(split) for split in ("policy", "calibration", "test"))
        check_targets(self.targets, traces.timesteps)
        ray = None if self.workers == 0 else _imported_ray()
        anywhere = replace(self, workers=None, address=None)  # the policies are the same
        output = open_folder(self.output, anywhere, self.overwrite, makes=MAKES)
        policies, comparison = output.work / "policies", output.work / "comparison"
        trainings = self._trainings()
        missing = [training for training in trainings if not (policies / training.file).exists()]
        print(f"train {len(missing)} of {len(trainings)} policies", flush=True)
        failed = 0
        for count, (training, result) in enumerate(self._results(missing, ray), 1):
            if isinstance(result, str):
                failed += 1
                print(f"seenn: {training.policy}, seed {training.seed} failed: {result}", file=sys.stderr, flush=True)
            else:
                agents.save(result, policies / training.file)
                print(f"{count}/{len(missing)}: {training.policy}, seed {training.seed}", flush=True)
        learned: dict[str, list[AnyPolicy]] = {}
        for training in trainings:
            if (policies / training.file).exists():
                learned.setdefault(training.policy, []).append(agents.load(policies / training.file))
        if learned:
            for file in comparison.rglob("*"):  # of a comparison without the policies that failed before
                if file.match("events.out.tfevents.*"):
                    file.unlink()
            entries = line_up(test, calibration, self.targets, named_rules(RULES), learned if self.costs else {})
            entries = entries if self.costs else learned | entries
            print(agents.compare(entries, test, log_dir=comparison, seed=self.seed).table())
        if failed:
            print(
                f"seenn: {failed} of {len(missing)} trainings failed; the same command tries them again.",
                file=sys.stderr,
            )
            sys.exit(1)
        output.close()
        print("report:", output.final / "comparison" / "report.html")

    def _trainings(self) -> list[Training]:
        """Every setting, once."""
        costs, targets = (self.costs, [None]) if self.costs else ([None], self.targets)
        seeds = range(self.seed, self.seed + self.seeds)
        axes = (self.algorithms, self.observations or [None], costs, targets, seeds)
        return list(dict.fromkeys(Training(*values) for values in product(*axes)))

    def _results(self, trainings: list[Training], ray: Any) -> Iterator[tuple[Training, AnyPolicy | str]]:
        """Each training and its policy, or the reason for which it failed, in the order in which they end."""
        traces = [str(path.resolve() if path.exists() else path) for path in self.traces]
        if ray is None or not trainings:
            yield from ((training, training.run(traces, self.total_timesteps)) for training in trainings)
            return
        local = {"num_cpus": self.workers, "include_dashboard": False} if self.address is None else {}
        try:
            session = ray.init(address=self.address or "local", logging_level="ERROR", **local)
        except ConnectionError as error:
            raise InputError(
                f"Expected a running Ray cluster at --address {self.address}, got none: start it."
            ) from error
        with session:
            run = ray.remote(num_cpus=1)(Training.run)
            running = {run.remote(training, traces, self.total_timesteps): training for training in trainings}
            while running:
                (done, *_), _ = ray.wait(list(running))
                try:
                    result = ray.get(done)
                except ray.exceptions.RayError as error:  # the process or its machine died
                    result = str(error)
                yield running.pop(done), result


def _imported_ray() -> Any:
    """The package ray, which then reports its use to nobody unless the environment asks for it.

    Raises:
        InputError: where it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise InputError(
            "Expected Ray, which is not installed: pip install 'seenn-env[sweep]', or pass --workers 0."
        ) from error
    return ray
