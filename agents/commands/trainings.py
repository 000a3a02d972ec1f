"""One training of `seenn sweep`, and many of them in this process or on Ray."""

from __future__ import annotations

import os
import socket
import tempfile
import traceback
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import agents
from agents import learners
from agents.commands.train import load_traces
from backbones import InputError, machine

if TYPE_CHECKING:
    from agents.policies import AnyPolicy
    from seenn_env import Traces


@dataclass(frozen=True)
class Trained:
    """A policy, and the learning curve of its training."""

    policy: AnyPolicy
    log: dict[str, bytes]
    """Files of TensorBoard by their path in the folder of all curves."""


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
    def curves(self) -> str:
        """Common part of the names of the runs of TensorBoard over all seeds."""
        return quote(self.policy.replace(" @ ", "@").replace(" ", "-"), safe="@+")

    @property
    def curve(self) -> str:
        """Name of the run of TensorBoard."""
        return f"{self.curves}-seed{self.seed}"

    @property
    def file(self) -> str:
        """Name of the policy's file."""
        return f"{self.curve}.safetensors"

    def check(self, traces: Traces, total_timesteps: int | None) -> None:
        """Raise an `InputError`, which names the policy, for a training that cannot run."""
        try:
            learners.check_training(self.algorithm, traces, **self._arguments(total_timesteps))
        except InputError as error:
            raise InputError(f"{self.policy}: {error}") from error

    def run(self, traces: list[str], total_timesteps: int | None) -> Trained | str:
        """The result, or the reason for which the training failed; runs in this process or in one of Ray's."""
        try:
            with machine.torch_threads(1), tempfile.TemporaryDirectory() as folder:
                loaded = load_traces(tuple(map(Path, traces)))
                policy = agents.train(self.algorithm, loaded, **self._arguments(total_timesteps), log_dir=folder)
                return Trained(policy, self._log(Path(folder)))
        except InputError as error:
            return str(error)
        except Exception:
            return traceback.format_exc()

    def _arguments(self, total_timesteps: int | None) -> dict[str, Any]:
        return {
            "target_timesteps": self.target,
            "seed": self.seed,
            "observation": self.observation,
            "reward": None if self.cost is None else "linear",
            "reward_options": None if self.cost is None else {"cost": self.cost},
            "total_timesteps": None if self.algorithm in learners.TRAINERS else total_timesteps,
        }

    def _log(self, folder: Path) -> dict[str, bytes]:
        """The files of the log of this training alone: the layout, references and the run, under its name here."""
        log = {}
        for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            run = place.relative_to(folder).as_posix().replace(f"{self.algorithm}-seed{self.seed}", self.curve)
            for number, file in enumerate(sorted(place.glob("events.out.tfevents.*"))):
                log[f"{run}/events.out.tfevents.{number}"] = file.read_bytes()
        return log


def results(
    trainings: list[Training],
    traces: list[str],
    total_timesteps: int | None,
    *,
    workers: int | None,
    address: str | None,
) -> Generator[tuple[Training, Trained | str]]:
    """Each training and its result, or the reason for which it failed, in the order in which they end.

    Args:
        trainings: to run.
        traces: paths or packaged names.
        total_timesteps: steps of the environment.
        workers: processes of a Ray of this machine (None: one for each CPU); 0 for this process.
        address: of a running Ray cluster instead.

    Raises:
        InputError: where there is no cluster at the address.
    """
    if workers == 0 or not trainings:
        yield from ((training, training.run(traces, total_timesteps)) for training in trainings)
        return
    import ray

    local = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
    try:
        host, _, port = (address or "").rpartition(":")
        if port.isdigit():  # Ray itself tries an address without a cluster for minutes
            socket.create_connection((host, int(port)), timeout=10).close()
        session = ray.init(address=address or "local", logging_level="ERROR", **local)
    except OSError as error:
        raise InputError(
            f"Expected a running Ray cluster at {address}, got none: start it (ray start --head), or correct --address."
        ) from error
    with session:
        run = ray.remote(num_cpus=1)(Training.run)
        running = {run.remote(training, traces, total_timesteps): training for training in trainings}
        while running:
            (done, *_), _ = ray.wait(list(running))
            try:
                result = ray.get(done)
            except ray.exceptions.RayError as error:  # the process or its machine died
                result = str(error)
            yield running.pop(done), result


def check_ray() -> None:
    """Raise an `InputError` where Ray is not installed, and keep it from reporting its use unless it is told to."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            "Expected Ray, which is not installed: pip install 'seenn-env[sweep]', or pass --workers 0."
        ) from error
