"""`seenn watch`: one image's timesteps as pictures, a GIF, or in the terminal."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from PIL import Image

import agents
import backbones as bb
from agents import rules
from agents.commands import side_by_side
from agents.commands.data import DataOptions
from agents.commands.output import check_file, open_folder
from agents.commands.policies import named_policy
from agents.commands.stated_default import Stated
from agents.commands.unused_options import refuse_unused
from backbones import InputError, networks
from backbones.argument_checks import Natural, Positive
from backbones.atomic import open_atomic
from backbones.packaged_files import is_packaged
from seenn_env import EarlyExitEnv, rendering
from seenn_env.evaluation import check_trained_for, decides, observation_of, timesteps_at_start

MAKES = r"[0-9]{3,}\.png"
"""Files of the result, where it is a folder."""


@dataclass(frozen=True)
class Watch:
    """Show the timesteps of one image until a policy exits, or several policies in a grid, the earliest exit first.

    For example:

        seenn watch --traces digits --policy margin --threshold 0.9 --output runs/episode.gif
    """

    traces: Stated[str | None] = None
    """File or packaged name of traces to replay (default, without a backbone: digits)."""
    backbone: str | None = None
    """File or packaged name of a backbone to run live instead."""
    dataset: str | None = None
    """Name of the dataset that the backbone reads."""
    data: tyro.conf.OmitArgPrefixes[DataOptions] = field(default_factory=DataOptions)
    """Place and division of the dataset."""
    split: str = "test"
    """Split of the images."""
    row: Stated[Natural | None] = None
    """Row of the split (default: one at random)."""
    policy: tuple[str, ...] = ("margin",)
    """Files of policies, names of packaged ones, or of rules: confidence, entropy, margin, gap, summed-confidence or
    patience."""
    threshold: Stated[float | None] = None
    """Threshold of the only policy (default: its own)."""
    output: Stated[Path | None] = None
    """A .gif, or a folder for one .png a timestep and one of the exit (default: the episode plays in the terminal)."""
    fps: float = 1.0
    """Frames per second of a GIF, or in the terminal."""
    size: Positive = rendering.HEIGHT
    """Height in pixels of each policy's frame in pictures: a multiple of 16 from 272 to 2176."""
    seed: Natural = 0
    """Seed of the choice of the image."""
    device: str = "cpu"
    """Device that a backbone from a file runs on."""
    overwrite: bool = False
    """Replace an earlier result."""

    def run(self) -> None:
        """Play one episode."""
        if self.traces is not None and self.backbone is not None:
            raise InputError("Expected either --traces or a --backbone to watch, got both: leave one out.")
        if self.dataset is None:
            self.data.refuse()
        if self.backbone is None or not Path(self.backbone).suffix:
            refuse_unused(self, ["device"], "without the file of a --backbone")
        if self.row is not None:
            refuse_unused(self, ["seed"], "with a --row")
        if self.output is None:
            refuse_unused(self, ["size"], "without an --output")
        else:
            rendering.check_size(self.size)
        if self.output is None or self.output.suffix:
            check_file(self.output, self)
        else:
            refuse_unused(self, ["fps"], "with pictures one by one")
        if not 0.01 <= self.fps <= 100:
            raise InputError(f"Expected fps from 0.01 to 100, got {self.fps:g}.")
        if self.output is not None and self.output.suffix.lower() not in ("", ".gif"):
            raise InputError(f"Expected the output to be a .gif or a folder, got {self.output}.")
        if not self.policy or len(set(self.policy)) < len(self.policy):
            given = " ".join(self.policy) or "none"
            raise InputError(f"Expected one policy or several different ones, got {given}.")
        if len(self.policy) > 1:
            refuse_unused(self, ["threshold"], "with several policies")
        policies = [named_policy(name, self.threshold) for name in self.policy]
        backbone, samples = self._source()
        played = [play(self._environment(each, backbone, samples), each, self.row, self.seed) for each in policies]
        plays, names = side_by_side.in_order_of_exit(played, self.policy)
        moments = side_by_side.moments(plays)
        if self.output is None:
            show(moments, names, self.fps)
        elif self.output.suffix:
            write_gif([side_by_side.picture(moment, names, self.size) for moment in moments], self.output, self.fps)
        else:
            output = open_folder(self.output, self, self.overwrite, makes=MAKES)
            for number, moment in enumerate(moments, 1):
                with open_atomic(output.work / f"{number:03d}.png") as file:
                    Image.fromarray(side_by_side.picture(moment, names, self.size)).save(file, "PNG")
            output.close()
        for name, last in zip(names, moments[-1], strict=True):
            title = f"{name}: " if len(names) > 1 else ""
            print(f"{title}{last.verdict()}; answer {last.answer}, label {last.name(last.label)}")
        if self.output is not None:
            print("pictures:", self.output)

    def _source(self) -> tuple[Any, bb.Samples | None]:
        """The backbone and the samples to run it on, where there are any."""
        backbone: Any = self.backbone
        if backbone is not None and not is_packaged(backbone):
            if self.dataset is None:
                raise InputError("Expected the dataset that the backbone reads, got none: pass --dataset.")
            backbone = bb.load(backbone, device=self.device)
        samples = None
        if self.dataset is not None:
            loaded = isinstance(backbone, networks.SpikingNetwork)
            splits = self.data.load_for(backbone, self.dataset) if loaded else self.data.load(self.dataset, None)
            samples = splits[self.split]
        return backbone, samples

    def _environment(self, policy: Any, backbone: Any, samples: bb.Samples | None) -> EarlyExitEnv:
        """The episodes that a policy watches."""
        env = EarlyExitEnv(
            self.traces,
            backbone=backbone,
            samples=samples,
            split=self.split,
            observation="features" if decides(policy) == "start" else observation_of(policy),
            render_mode="rgb_array",
        )
        dynamics: Any = env.dynamics
        if self.row is not None and self.row >= (N := len(dynamics.labels)):
            raise InputError(f"Expected a row of split {self.split} in 0…{N - 1}, got {self.row} (--row).")
        check_trained_for(policy, env.traces or dynamics.backbone)
        return env


def play(env: EarlyExitEnv, policy: Any, row: int | None, seed: int) -> list[rendering.Episode]:
    """The episode after each timestep, and at the exit."""
    observation, _ = env.reset(seed=seed, options=None if row is None else {"samples": row})
    episodes, state, start = [env.episode], None, np.ones(1, bool)
    if decides(policy) == "start":
        image = episodes[0].image
        if image is None:
            raise InputError("Expected an image for a policy that reads it, got none: record with images=True.")
        chosen = int(timesteps_at_start(policy, image[None], env.timesteps)[0])
        policy = agents.FixedTimestep(chosen)
    scores: list[float] = []
    while not episodes[-1].exited:
        if getattr(type(policy), "predict", None) is rules.ScoredPolicy.predict:
            scores.append(float(policy.score_step(observation[None], state, start)[0][0]))
            episodes[-1] = with_score(episodes[-1], policy, scores)
        action, state = policy.predict(observation[None], state=state, episode_start=start, deterministic=True)
        observation, *_ = env.step(int(action[0]))
        episodes.append(with_score(env.episode, policy, scores))
        start = np.zeros(1, bool)
    return episodes


def with_score(episode: rendering.Episode, policy: Any, scores: Sequence[float]) -> rendering.Episode:
    """The episode with a policy's scores so far, if it has any."""
    if not scores:
        return episode
    name, values = getattr(policy, "column", "score"), policy.sign * np.array(scores)
    score = rendering.Score(name, values, policy.sign * policy.level, below=policy.sign < 0)
    return dataclasses.replace(episode, score=score)


def show(moments: Sequence[Sequence[rendering.Episode]], names: Sequence[str], fps: float) -> None:
    """Play in the terminal, in one place; in a pipe, one after the other."""
    columns, lines = shutil.get_terminal_size()
    truecolor = not sys.stdout.isatty() or os.environ.get("COLORTERM") in ("truecolor", "24bit")
    texts = side_by_side.texts(moments, names, columns, truecolor)
    height = texts[0].count("\n") + 1
    in_place = sys.stdout.isatty() and height < lines
    for number, text in enumerate(texts):
        if number:
            print(f"\x1b[{height}F\x1b[J" if in_place else "\n", end="")
        print(text, flush=True)
        if sys.stdout.isatty() and number < len(texts) - 1:
            time.sleep(1 / fps)


def write_gif(pictures: Sequence[np.ndarray], path: Path, fps: float) -> None:
    """Pictures `[H, W, 3]` one by one, the last three times as long; the file appears when it is whole."""
    first, *others = (Image.fromarray(each) for each in pictures)
    milliseconds = round(1000 / fps)
    durations = [milliseconds] * len(others) + [3 * milliseconds]
    with open_atomic(path) as file:
        first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
