"""`seenn train`: a policy (SEENN-II) from traces."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import agents
from agents import learners
from agents.commands.output import check_file, check_log_dir, progress_bar
from agents.commands.stated_default import Stated
from agents.commands.unused_options import refuse_unused
from backbones import InputError
from backbones.argument_checks import NarrowSeed, Positive
from seenn_env import Traces, evaluate


@dataclass(frozen=True)
class Train:
    """Learn when to exit on the rows of split "policy".

    For example:

        seenn train --traces digits --algorithm ppo --target-timesteps 1.5 --output runs/ppo.safetensors
    """

    traces: tuple[Path, ...]
    """Traces files, with rows of split "policy", and of "calibration" where there is a target."""
    output: Path
    """File of the policy."""
    algorithm: str = "ppo"
    """ppo, a2c, dqn, qrdqn, recurrent-ppo (stable-baselines3), exact, optimal-stopping or one-shot."""
    target_timesteps: float | None = None
    """Mean timesteps to calibrate the policy to."""
    observation: Stated[str | None] = None
    """Observation of the policy (default: features, unless the algorithm has another)."""
    reward: Stated[str | None] = None
    """Reward to learn from: linear or seenn (default: linear; of one-shot: seenn)."""
    reward_options: Stated[dict[str, float]] = field(default_factory=dict)
    """Options of the reward, as NAME VALUE pairs: cost, or beta (default: none)."""
    total_timesteps: Stated[Positive | None] = None
    """Steps of the environment, for the algorithms of stable-baselines3 (default: 300,000)."""
    seed: NarrowSeed = 0
    """Seed of the network, the episodes and the actions."""
    log_dir: Path | None = None
    """Folder for TensorBoard."""
    overwrite: bool = False
    """Replace an existing file."""

    def run(self) -> None:
        """Train, save, and print the policy's accuracy and timesteps on the split it learned on."""
        name = f"{self.algorithm}-seed{self.seed}"
        if self.log_dir is not None and self.output.is_file() and not self.overwrite:
            learners.finish_runs(self.log_dir, name)
        check_file(self.output, self)
        if self.log_dir is not None:
            check_log_dir(self.log_dir, self.output, name)
        if self.algorithm in learners.TRAINERS:
            refuse_unused(self, ["total_timesteps"], f"with {self.algorithm}, which runs no environment")
        traces = load_traces(self.traces)
        about = {"dataset": traces.info.get("dataset"), "target_timesteps": self.target_timesteps}
        about = {name: value for name, value in about.items() if value is not None}
        bar, move = progress_bar("train")
        with bar:
            policy = agents.train(
                self.algorithm,
                traces,
                target_timesteps=self.target_timesteps,
                seed=self.seed,
                observation=self.observation,
                reward=self.reward,
                reward_options=dict(self.reward_options),
                total_timesteps=self.total_timesteps,
                log_dir=self.log_dir,
                on_progress=move,
                on_trained=lambda policy: agents.save(policy, self.output, about=about),
            )
        result = evaluate(policy, traces.select("policy"))
        print(f"on policy: accuracy {100 * result.accuracy:.2f} % at {result.mean_timesteps:.3f} timesteps")
        print("policy:", self.output)


def load_traces(paths: tuple[Path, ...]) -> Traces:
    """Several traces files of one backbone as one."""
    if not paths:
        raise InputError("Expected at least one traces file, got none: name some after --traces.")
    return Traces.merge(*(Traces.load(path) for path in paths))
