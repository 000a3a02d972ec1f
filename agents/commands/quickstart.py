"""`seenn quickstart`: every step from training to comparison on scikit-learn's digits, in a minute or two."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import agents
import backbones as bb
import seenn_env
from agents import learners
from agents.commands.compare import MAKES as COMPARISON
from agents.commands.compare import RULES, check_targets, line_up
from agents.commands.output import EVENTS, STATE, on_terminal, open_folder, progress_bar
from agents.commands.policies import named_rules
from agents.commands.train_backbone import accuracy_line
from backbones import machine
from backbones.argument_checks import Natural, Positive
from backbones.errors import counted

RECORDED = {"policy": 20, "calibration": 20, "test": 10}
"""Rows of each image, by split."""
TIMESTEPS = 8
"""T."""
MAKES = (
    rf"(backbone|{'|'.join(RECORDED)}|ppo-seed\d+)\.safetensors|{re.escape(STATE)}|backbone/{EVENTS}"
    rf"|training/((.+/)?{EVENTS}|\.ppo-seed\d+\.unfinished)|comparison/({COMPARISON})"
)
"""Files of the result."""


@dataclass(frozen=True)
class Quickstart:
    """Train an SNN on digits, record it, learn when to exit (SEENN-II), calibrate thresholds, compare.

    For example:

        seenn quickstart --output runs/quickstart
    """

    output: Path = Path("runs/quickstart")
    """Folder for all results."""
    targets: tuple[float, ...] = (1.2, 1.5, 2.0)
    """Mean timesteps at which policies are compared."""
    seeds: Positive = 3
    """Number of policies that PPO trains."""
    epochs: Positive = 30
    """Passes of the backbone over its 700 training images."""
    total_timesteps: Positive = 600_000
    """Environment steps of each PPO training."""
    seed: Natural = 0
    """Seed of the backbone; PPO's seeds count on from it."""
    device: str = "cpu"
    """Device that the network runs on."""
    overwrite: bool = False
    """Replace an earlier result."""
    resumes: ClassVar[bool] = True

    def run(self) -> None:
        """Do all of it; networks this small run best on one thread."""
        with machine.torch_threads(1):
            self._run()

    def _run(self) -> None:
        begin = time.monotonic()
        check_targets(self.targets, TIMESTEPS)
        machine.named_device(self.device)
        output = open_folder(self.output, self, self.overwrite, makes=MAKES)
        folder = output.work
        splits = bb.load_dataset("digits")
        backbone = self._backbone(folder, splits)
        traces = {split: self._record(folder, backbone, splits[split]) for split in RECORDED}
        print(traces["test"].summary(), flush=True)
        learned = [self._learn(folder, traces, self.seed + i) for i in range(self.seeds)]
        learners.write_means(folder / "training", "ppo")
        print("compare on test: rules and policies calibrated on calibration", flush=True)
        policies = {"SEENN-II (sequential, PPO)": learned}
        entries = line_up(traces["test"], traces["calibration"], self.targets, named_rules(RULES), policies)
        comparison = agents.compare(entries, traces["test"], log_dir=folder / "comparison", seed=self.seed)
        output.close()
        print(f"\n{comparison.table()}\n")
        print(f"done in {time.monotonic() - begin:.0f} s")
        print(f"report: {output.final / 'comparison' / 'report.html'}")
        print(f"TensorBoard: tensorboard --logdir {output.final}")

    def _backbone(self, folder: Path, splits: bb.Splits) -> bb.Backbone:
        file = folder / "backbone.safetensors"
        if file.exists():
            return bb.load(file, device=self.device)
        print(f"train a spiking network on {len(splits.train)} digits: Poisson spikes, T = {TIMESTEPS}", flush=True)
        network = bb.build(
            "small",
            num_classes=10,
            timesteps=TIMESTEPS,
            input_shape=(1, 8, 8),
            encoding="poisson",
            width=32,
            seed=self.seed,
        ).to(self.device)
        result = bb.train(
            network,
            splits,
            bb.TrainingConfig(epochs=self.epochs, seed=self.seed),
            log_dir=folder / "backbone",
            resume=folder / STATE,
            progress=on_terminal(),
        )
        bb.save(network, file, division=splits.division)
        print("accuracy % on calibration:", accuracy_line(result.accuracy), flush=True)
        return network

    def _record(self, folder: Path, backbone: bb.Backbone, samples: bb.Samples) -> seenn_env.Traces:
        file, repeats = folder / f"{samples.split}.safetensors", RECORDED[samples.split]
        unfinished = file.with_name(f"{file.name}.partial")
        if file.exists() and not (unfinished / "settings.json").exists():
            shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed while it deleted it
            return seenn_env.Traces.load(file)
        print(f"record {samples.split}: {len(samples)} images × {repeats} repeats", flush=True)
        return seenn_env.record(backbone, samples, file, repeats=repeats, dtype="float16", progress=on_terminal())

    def _learn(self, folder: Path, traces: dict[str, seenn_env.Traces], seed: int) -> Any:
        file = folder / f"ppo-seed{seed}.safetensors"
        if file.exists():
            learners.finish_runs(folder / "training", f"ppo-seed{seed}")
            return agents.load(file)
        print(f"learn when to exit: PPO, seed {seed}, {counted(self.total_timesteps, 'step')}", flush=True)
        bar, move = progress_bar("learn")
        with bar:
            return agents.train(
                "ppo",
                traces["policy"],
                seed=seed,
                total_timesteps=self.total_timesteps,
                log_dir=folder / "training",
                on_progress=move,
                on_trained=lambda policy: agents.save(policy, file),
            )
