"""Millions of episodes, and eight processes at once: the same results, in memory that does not grow."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import agents
import backbones as bb
from agents.main import main
from seenn_env import EarlyExitVectorEnv, Traces, evaluate, make_reward, to_sb3
from tests.helpers.forks import Fork
from tests.helpers.programs import load_program
from tests.helpers.traces import make_traces

Finished = Iterator[tuple[np.ndarray, ...]]


def in_gymnasium(envs: EarlyExitVectorEnv, act: Callable) -> Finished:
    """Samples, timesteps, predictions and rewards of the episodes that end in a step, for ever."""
    observations, _ = envs.reset(seed=0)
    while True:
        observations, rewards, ended, _, infos = envs.step(act(observations))
        final = infos.get("final_info", {})
        yield (
            *(final[key][ended] if ended.any() else [] for key in ("sample", "timestep", "prediction")),
            rewards[ended],
        )


def in_sb3(envs: EarlyExitVectorEnv, act: Callable) -> Finished:
    """The same of the form for Stable-Baselines3."""
    sb3 = to_sb3(envs)
    sb3.seed(0)
    observations = sb3.reset()
    while True:
        observations, rewards, ended, infos = sb3.step(act(observations))
        final = [infos[slot] for slot in np.flatnonzero(ended)]
        assert np.allclose([info["episode"]["r"] for info in final], rewards[ended], atol=1e-6)
        yield *([info[key] for info in final] for key in ("sample", "timestep", "prediction")), rewards[ended]


@pytest.mark.parametrize("total", [50_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("form", [in_gymnasium, in_sb3])
def test_every_episode_of_a_row_ends_as_its_first_and_memory_and_handles_stay(form, total):
    N, policy = 1000, agents.Margin(0.5)
    traces = make_traces(N)
    exits, seen, done = evaluate(policy, traces, reward=make_reward("linear")), np.zeros(N, np.int64), 0
    assert exits.rewards is not None
    state: list[tuple[int, int]] = []
    envs = EarlyExitVectorEnv(256, traces, reward="linear")
    for rows, timesteps, predictions, rewards in form(envs, lambda columns: policy.predict(columns)[0]):
        rows = np.array(rows, np.int64)
        assert np.array_equal(timesteps, exits.exit_timesteps[rows])
        assert np.array_equal(predictions, exits.predictions[rows])
        assert np.array_equal(rewards, exits.rewards[rows])
        seen += np.bincount(rows, minlength=N)
        done += len(rows)
        if done >= total * (len(state) + 1) / 20:
            anonymous = load_program("benchmarks/environments/scale").AnonymousMemory().start
            state.append((anonymous or 0, len(os.listdir("/proc/self/fd"))))
        if done >= total:
            break
    assert seen.max() - seen.min() <= 2, "an order without replacement, some episodes of which have not ended"
    growth = max(memory for memory, _ in state[2:]) - state[1][0]
    print(f"{done:,} episodes, memory + {growth / 2**20:.1f} MiB, {state[-1][1]} handles")
    assert growth < 8 * 2**20
    assert len({handles for _, handles in state}) == 1


@dataclass
class Inputs:
    """Files that all processes read."""

    folder: Path

    def command(self, name: str, output: Path) -> list[object]:
        """A short command with its output in that folder."""
        traces: list[object] = ["--traces", self.folder / "traces.safetensors"]
        net: list[object] = ["--backbone", self.folder / "net.safetensors"]
        images: list[object] = ["--dataset", "folder", "--data-dir", self.folder / "pets"]
        policy: list[object] = ["--policies", f"exact={self.folder / 'exact.safetensors'}"]
        return {
            "record": ["record", *net, *images, "--batch-size", 16, "--images"],
            "classify": ["classify", *net, *images, "--policy", self.folder / "exact.safetensors"],
            "train": ["train", *traces, "--algorithm", "optimal-stopping"],
            "compare": ["compare", *traces, "--split", "test", *policy],
        }[name] + ["--output", output / "out"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Inputs:
    folder = tmp_path_factory.mktemp("inputs")
    net = bb.build("small", num_classes=2, timesteps=4, input_shape=(3, 8, 8), width=4)
    bb.save(net, folder / "net.safetensors")
    parts = [make_traces(60, split=split) for split in ("policy", "calibration", "test")]
    traces = Traces.merge(*parts)
    traces.save(folder / "traces.safetensors")
    agents.save(agents.train("exact", traces, target_timesteps=1.5, steps=20), folder / "exact.safetensors")
    draws = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / "pets" / name).mkdir(parents=True)
        for i in range(200):
            Image.fromarray(draws.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(folder / f"pets/{name}/{i}.png")
    return Inputs(folder)


def run_at_once(commands: list[list[object]]) -> list[tuple[int | None, str]]:
    """The exit status and the standard error of each command; they begin at the same moment."""
    barrier = multiprocessing.get_context("forkserver").Barrier(len(commands))
    forks = [Fork(begin, barrier, [str(part) for part in command]) for command in commands]
    errors = [fork.communicate()[1] for fork in forks]
    return [(fork.returncode, each) for fork, each in zip(forks, errors, strict=True)]


def begin(barrier: Any, command: list[str]) -> None:
    barrier.wait()
    main(command)


def files(place: Path) -> dict[str, bytes]:
    """All files by name, but TensorBoard's, which have times in them, and those that list them."""
    found = (path for path in place.rglob("*") if path.is_file() and ".tfevents." not in path.name)
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in found if path.name != "complete"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["record", "classify", "train", "compare"])
def test_eight_processes_that_read_the_same_files_give_the_same(inputs, tmp_path, name):
    places = [tmp_path / str(i) for i in range(8)]
    for place in places:
        place.mkdir()
    ends = run_at_once([inputs.command(name, place) for place in places])
    assert [status for status, _ in ends] == [0] * 8, ends
    first, *others = (files(place) for place in places)
    assert first
    assert all(other == first for other in others)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["record", "classify", "train", "compare"])
def test_of_eight_processes_with_one_output_one_works_and_seven_say_so(inputs, tmp_path, name):
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert run_at_once([inputs.command(name, alone)])[0][0] == 0
    ends = run_at_once([inputs.command(name, together)] * 8)
    assert sorted(status for status, _ in ends) == [0] + [2] * 7, ends
    for status, errors in ends:
        if status == 2:
            assert len(errors.strip().splitlines()) == 1, errors
            assert any(words in errors for words in ("Another process", "exists already", "complete result")), errors
    assert files(together) == files(alone)
