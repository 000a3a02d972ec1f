"""Commands that are killed, or find the disk full, at any file operation: the same command ends with the same files."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import backbones as bb
from backbones.atomic import sole_writer
from seenn_env import Traces
from tests.helpers.faults import Nursery
from tests.helpers.traces import make_traces

COMMANDS = ("record", "record-splits", "train-backbone", "convert", "train", "compare", "classify")

MOST, RANDOM = 300, 50
"""Disturbed file operations of a command, spread over all of them if there are more, and random moments."""

SLOW = ("train", "compare")
CASES = [(name, 2) for name in ("record", "convert", "classify")]
CASES += [pytest.param(name, MOST, marks=pytest.mark.slow) for name in COMMANDS]  # type: ignore[misc]


@dataclass
class Bench:
    """Inputs of the commands, and the process that forks them."""

    nursery: Nursery
    inputs: Path

    def command(self, name: str, place: Path) -> list[object]:
        """A short command with its output in `place`."""
        net, small = self.inputs / "net.safetensors", ("--policy-size", 40, "--calibration-size", 30)
        output: list[object] = ["--output", place / "out"]
        return {
            "record": ["record", "--backbone", net, "--split", "policy", *small, "--batch-size", 16, "--images"],
            "record-splits": ["record", "--backbone", net, "--split", "policy", "calibration", *small],
            "train-backbone": ["train-backbone", "--epochs", 2, "--timesteps", 2, "--width", 4, "--threads", 1],
            "convert": ["convert", "--backbone", self.inputs / "qcfs.safetensors", "--timesteps", 2],
            "train": ["train", "--traces", self.inputs / "traces.safetensors", "--algorithm", "optimal-stopping"],
            "compare": ["compare", "--traces", self.inputs / "traces.safetensors", "--split", "test"],
            "classify": ["classify", "--backbone", net, "--dataset", "digits", "--energy-images", 0],
        }[name] + output

    def whole(self, name: str, place: Path) -> tuple[dict[str, bytes], int, int]:
        """The files of an undisturbed command, and its numbers of operations before a kill and on a full disk."""
        place.mkdir()
        run = self.nursery.run(self.command(name, place), below=place, fault="kill")
        assert run.status == 0, run.errors
        files = contents(place)
        shutil.rmtree(place)
        place.mkdir()
        full = self.nursery.run(self.command(name, place), below=place, fault="full", at=10**9)
        return files, run.operations, full.operations

    def again(self, name: str, place: Path) -> None:
        """The same command after a fault, which succeeds unless the result was complete already."""
        run = self.nursery.run(self.command(name, place), below=place)
        said = any(words in run.errors for words in ("exists already", "holds a complete result", "recording already"))
        assert run.status == 0 or (run.status == 2 and said), run.errors


def contents(place: Path) -> dict[str, bytes]:
    """All files by name; TensorBoard's, which have times in them, without content or number."""
    found = {}
    for path in place.rglob("*"):
        name = path.relative_to(place).as_posix()
        if ".tfevents." in name:
            found[name.split(".tfevents.")[0]] = b""
        elif path.name == "complete":
            lines = sorted(line for line in path.read_text().splitlines() if ".tfevents." not in line)
            found[name] = "\n".join(lines).encode()
        else:
            found[name] = path.read_bytes() if path.is_file() else b"folder"
    return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Iterator[Bench]:
    inputs = tmp_path_factory.mktemp("inputs")
    bb.save(bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=4), inputs / "net.safetensors")
    qcfs = {"type": "qcfs", "levels": 4}
    net = bb.build("small", num_classes=10, timesteps=1, input_shape=(1, 8, 8), width=4, neuron=qcfs, encoding="direct")
    bb.save(net, inputs / "qcfs.safetensors")
    parts = [make_traces(60, split=split) for split in ("policy", "calibration", "test")]
    Traces.merge(*parts).save(inputs / "traces.safetensors")
    with Nursery() as nursery:
        yield Bench(nursery, inputs)


def moments(count: int, most: int) -> list[int]:
    """Some of the operations 1…count, or all of them."""
    return sorted({int(at) for at in np.linspace(1, count, min(count, most))})


@pytest.mark.parametrize(("name", "most"), CASES)
def test_a_command_killed_at_a_file_operation_ends_with_the_same_files(bench, tmp_path, name, most):
    place = tmp_path / "place"
    whole, count, _ = bench.whole(name, place)
    assert count > 5
    for at in moments(count, most):
        shutil.rmtree(place)
        place.mkdir()
        assert bench.nursery.run(bench.command(name, place), below=place, fault="kill", at=at).status == -9
        bench.again(name, place)
        assert contents(place) == whole, at
    print(f"{name}: killed at {len(moments(count, most))} of {count} file operations")


@pytest.mark.parametrize(("name", "most"), CASES)
def test_a_disk_that_is_full_from_an_operation_on_is_one_sentence(bench, tmp_path, name, most):
    place = tmp_path / "place"
    whole, _, count = bench.whole(name, place)
    for at in moments(count, most):
        shutil.rmtree(place)
        place.mkdir()
        run = bench.nursery.run(bench.command(name, place), below=place, fault="full", at=at)
        if run.status == 0:  # only the folder's names were not brought to the disk, which not every file system can
            assert contents(place) == whole, at
            continue
        assert run.status in (1, 2), (at, run)
        assert len(run.errors.strip().splitlines()) == 1, (at, run.errors)
        assert "No space left on device" in run.errors, at
        bench.again(name, place)
        assert contents(place) == whole, at
    print(f"{name}: full from {len(moments(count, most))} of {count} operations on")


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_killed_at_random_moments_ends_with_the_same_files(bench, tmp_path, name):
    place, draws = tmp_path / "place", np.random.default_rng(0)
    whole, *_ = bench.whole(name, place)
    shutil.rmtree(place)
    place.mkdir()
    began, killed = time.perf_counter(), 0
    bench.again(name, place)
    for seconds in draws.random(RANDOM) * (time.perf_counter() - began):
        shutil.rmtree(place)
        place.mkdir()
        killed += bench.nursery.run(bench.command(name, place), below=place, seconds=seconds).status == -9
        bench.again(name, place)
        assert contents(place) == whole, seconds
    print(f"{name}: killed at {killed} of {RANDOM} random moments")


def test_two_commands_on_one_output_are_refused_and_the_next_runs(bench, tmp_path):
    with sole_writer(tmp_path / "out"):
        for name in COMMANDS:
            run = bench.nursery.run(bench.command(name, tmp_path), below=tmp_path)
            assert run.status == 2, name
            assert "Another process is writing" in run.errors
    assert bench.nursery.run(bench.command("convert", tmp_path), below=tmp_path).status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["record", "convert", *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])
def test_a_small_file_system_that_fills_up_is_one_sentence(bench, tmp_path, name):
    small, whole = tmp_path / "small", tmp_path / "whole"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(small)]
    if (refusal := subprocess.run(mount, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"no file system can be mounted here: {refusal.stderr.strip()}")
    try:
        run = bench.nursery.run(bench.command(name, small), below=small)
        assert run.status in (1, 2), run
        assert len(run.errors.strip().splitlines()) == 1, run.errors
        assert "No space left on device" in run.errors
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        bench.again(name, small)
        files, *_ = bench.whole(name, whole)
        assert contents(small) == files
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_odd_outputs_are_one_sentence_and_stay(bench, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.iterdir())
    for name in COMMANDS:
        for place in ("link", "pipe", "file/out", "/dev/full"):
            arguments = [*bench.command(name, tmp_path)[:-1], tmp_path / place, "--overwrite"]
            run = bench.nursery.run(arguments, below=tmp_path)
            assert run.status in (1, 2), (name, place)
            assert len(run.errors.strip().splitlines()) == 1, (name, place, run.errors)
            assert sorted(tmp_path.iterdir()) == before, (name, place)
