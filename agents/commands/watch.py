"""`seenn watch`: one image's timesteps as pictures, a GIF, or in the terminal."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from agents.commands.compare import RULES
from agents.commands.output import check_file
from agents.storage import load
from backbones import InputError
from seenn_env import EarlyExitEnv


@dataclass(frozen=True)
class Watch:
    """Watch a policy look at one image, and stop."""

    traces: str | None = None
    """File or packaged name of traces to replay (default, without a backbone: digits)."""
    backbone: str | None = None
    """File or packaged name of a backbone to run live instead."""
    dataset: str | None = None
    """Name of the dataset that the backbone looks at."""
    split: str = "test"
    """Which split's images."""
    row: int | None = None
    """Which row of the split (default: one at random)."""
    policy: str = "margin"
    """File of a policy, or the name of a rule."""
    threshold: float | None = None
    """The rule's threshold (default: its own)."""
    output: Path | None = None
    """A .gif, or a folder for one .png a timestep; without it, the episode plays in the terminal."""
    seed: int = 0
    """Of the choice of the image."""
    overwrite: bool = False
    """Replace an output that is there."""

    def run(self) -> None:
        """Play one episode."""
        policy = self._policy()
        env = EarlyExitEnv(
            self.traces,
            backbone=self.backbone,
            samples=self.dataset,
            split=self.split,
            observation=getattr(policy, "observation", "features"),
            render_mode="ansi" if self.output is None else "rgb_array",
        )
        if self.output is not None:
            check_file(self.output, self.overwrite)
        frames = play(env, policy, self.row, self.seed)
        if self.output is None:
            print("\n\n".join(frames))
        else:
            write_frames(frames, self.output)
            print("pictures:", self.output)

    def _policy(self) -> Any:
        if self.policy not in RULES:
            return load(self.policy)
        rule = RULES[self.policy]
        if not hasattr(rule, "threshold"):
            raise InputError(f"Expected a rule with one threshold or a policy file, got {self.policy!r}: calibrate it.")
        return rule if self.threshold is None else type(rule)(self.threshold)


def play(env: EarlyExitEnv, policy: Any, row: int | None, seed: int) -> list[Any]:
    """A frame after each timestep, and one at the exit."""
    observation, _ = env.reset(seed=seed, options=None if row is None else {"samples": row})
    frames, state, start, ended = [env.render()], None, np.ones(1, bool), False
    while not ended:
        action, state = policy.predict(observation[None], state=state, episode_start=start, deterministic=True)
        observation, _, ended, _, _ = env.step(int(action[0]))
        frames.append(env.render())
        start = np.zeros(1, bool)
    return frames


def write_frames(frames: list[np.ndarray], output: Path) -> None:
    """A GIF of 1 frame a second, the last for three, or a folder of PNGs."""
    pictures = [Image.fromarray(frame) for frame in frames]
    if output.suffix.lower() == ".gif":
        output.parent.mkdir(parents=True, exist_ok=True)
        durations = [1000] * (len(pictures) - 1) + [3000]
        pictures[0].save(output, save_all=True, append_images=pictures[1:], duration=durations, loop=0)
        return
    if output.suffix:
        raise InputError(f"Expected the output to be a .gif or a folder, got {output}.")
    output.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, 1):
        picture.save(output / f"{number:03d}.png")
