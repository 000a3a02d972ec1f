"""Help and replayed environments import no large package; Ctrl-C during an import ends in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agents.commands.table import COMMANDS

ROOT = Path(__file__).parents[1]
LATE = ("torch", "torchvision", "stable_baselines3", "sklearn", "scipy", "matplotlib", "tensorboard")
REPLAY = """
import gymnasium as gym
import numpy as np
import agents, backbones, seenn_env

for name in {names}:
    env = gym.make(name)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    envs = gym.make_vec(name, num_envs=3)
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
"""
NAMES = [
    "seenn_env/EarlyExit-v0",
    "seenn_env/EarlyExitLogits-v0",
    "seenn_env/EarlyExitHidden-v0",
    "seenn_env/EarlyExit-Cifar10-v0",
    "seenn_env/ChooseTimestep-v0",
]
HELP = """
from agents.main import main

try:
    main({arguments})
except SystemExit as stop:
    assert stop.code == 0
"""
INTERRUPTED = """
import sys

class Interrupt:
    # A finder that is stopped by Ctrl-C when a package is asked for.
    def find_spec(self, name, path=None, target=None):
        if name == {package!r}:
            exec('raise KeyboardInterrupt')  # as in the making of a dataclass

sys.meta_path.insert(0, Interrupt())
from agents.main import main

main(["headroom"])
"""


def run(folder: Path, program: str) -> subprocess.CompletedProcess:
    """The program as `python -m` in a process of its own."""
    (folder / "program.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    return subprocess.run([sys.executable, "-m", "program"], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    "program",
    [
        REPLAY.format(names=NAMES),
        HELP.format(arguments=["--help"]),
        *(HELP.format(arguments=[command, "--help"]) for command in ("benchmark", "record", "train-backbone")),
    ],
    ids=["replay", "seenn", "benchmark", "record", "train-backbone"],
)
def test_large_packages_are_not_imported(program, tmp_path):
    done = run(tmp_path, f"{program}\nimport sys\nprint('imported:', *sorted(set({LATE}) & set(sys.modules)))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["imported:"]


def test_help_lists_every_command_with_its_first_sentence(tmp_path):
    lines = [" ".join(line.split()) for line in run(tmp_path, HELP.format(arguments=["--help"])).stdout.splitlines()]
    for name, command in COMMANDS.items():
        assert f"{name} {command.__doc__.split('.')[0]}." in lines


@pytest.mark.parametrize("package", ["tyro", "numpy", "torch"])
def test_ctrl_c_during_an_import_is_one_line(package, tmp_path):
    done = run(tmp_path, INTERRUPTED.format(package=package))
    assert done.returncode == 130
    assert done.stderr == "seenn: stopped; the same command begins anew.\n"
