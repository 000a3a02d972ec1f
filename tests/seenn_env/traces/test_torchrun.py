"""Two processes of `torchrun`, joined by gloo, write the file of one process."""

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import backbones as bb
from agents.main import main
from tests.helpers.programs import start_python
from tests.helpers.recorded import small_backbone

pytestmark = pytest.mark.slow  # every launch starts PyTorch three times

SETTINGS = ("--split", "policy", "calibration", "--batch-size", "32", "--repeats", "100", "--hidden")


def start_torchrun(*arguments: object) -> subprocess.Popen:
    """`torchrun --standalone --nproc-per-node 2 -m agents.main ARGUMENTS`."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    return start_python(*launcher, "-m", "agents.main", *arguments)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("network") / "backbone.safetensors"
    bb.save(small_backbone(), file)
    return file


@pytest.fixture(scope="module")
def by_one(backbone) -> Path:
    file = backbone.with_name("one.safetensors")
    torch.set_num_threads(1)
    main(["record", "--backbone", str(backbone), "--output", str(file), *SETTINGS])
    return file


def test_two_processes_write_the_file_of_one(backbone, by_one, tmp_path):
    file = tmp_path / "two.safetensors"
    running = start_torchrun("record", "--backbone", backbone, "--output", file, *SETTINGS)
    said, complaints = running.communicate(timeout=500)
    assert running.returncode == 0, complaints
    assert said.count("policy+calibration: 600 samples") == 1
    assert file.read_bytes() == by_one.read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_when_one_process_is_killed_all_end_and_the_same_command_continues(backbone, by_one, tmp_path):
    file = tmp_path / "two.safetensors"
    command = ("record", "--backbone", backbone, "--output", file, *SETTINGS)
    first = start_torchrun(*command)
    deadline = time.monotonic() + 300
    while not _batches_done(tmp_path):
        assert first.poll() is None, first.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = subprocess.run(["pgrep", "-P", str(first.pid)], capture_output=True, text=True).stdout.split()
    assert len(workers) == 2
    os.kill(int(workers[1]), signal.SIGKILL)
    first.communicate(timeout=300)
    assert first.returncode == 1
    assert not file.exists()
    again = start_torchrun(*command)
    _, complaints = again.communicate(timeout=500)
    assert again.returncode == 0, complaints
    assert file.read_bytes() == by_one.read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_bad_arguments_are_one_sentence_of_the_first_process(backbone, tmp_path):
    running = start_torchrun("record", "--backbone", backbone, "--output", tmp_path / "x", "--policy-size", 0)
    said, complaints = running.communicate(timeout=500)
    assert running.returncode != 0
    assert said == ""
    assert "Expected --policy-size to be a whole number of 1 or more, got 0." in complaints
    assert not list(tmp_path.iterdir())


def _batches_done(folder: Path) -> int:
    """Of the partial recordings in a folder, as far as they are on disk."""
    count = 0
    for file in folder.rglob("done.rows"):
        try:
            count += int(np.fromfile(file, np.uint8).reshape(-1, 32).any(1).sum())
        except (OSError, ValueError):  # just being written
            continue
    return count
