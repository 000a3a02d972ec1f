"""Two processes that share a recording write the file that one writes, byte for byte, killed or not."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import backbones as bb
from backbones import InputError
from backbones.machine import ProcessGroup
from backbones.networks import SpikingNetwork
from seenn_env import record
from seenn_env.traces import recording
from seenn_env.traces.partial import PartialRecording
from tests.helpers.programs import start_two
from tests.helpers.recorded import BATCH, EVERY, few_samples, small_backbone

SETTINGS = {"repeats": 2, "batch_size": BATCH, "dtype": "float16", "energy": True, **EVERY}
BATCHES, TIMESTEPS = 15, 4
DIES_AT = 11
"""Which step of the second process is its last."""


def count_steps(network: SpikingNetwork, dies_at: int) -> list[int]:
    """Steps from now on, in a list of one number; the process kills itself in one of them."""
    step, count = network.step, [0]

    def stepping(state):
        count[0] += 1
        if count[0] == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(state)

    network.step = stepping
    return count


def record_small(file: Path, dies_at: int = 0) -> int:
    """Record into a file; gives the number of steps that this took."""
    small_backbone.cache_clear()
    network = small_backbone()
    count = count_steps(network, dies_at)
    record(network, few_samples(count=BATCHES * BATCH // 2), file, **SETTINGS)
    small_backbone.cache_clear()
    return count[0]


def test_the_command_writes_the_file_of_one_process(tmp_path):
    from agents.commands.data import DataOptions  # here: the other processes need not wait for it
    from agents.commands.record import Record

    bb.save(small_backbone(), tmp_path / "backbone.safetensors")
    sizes = ("--policy-size", 40, "--calibration-size", 70)  # fewer batches than processes, and an odd number
    arguments = (*sizes, "--split", "policy", "calibration", "--batch-size", 48, "--energy", "--hidden", "--membrane")
    command = ("-m", "agents.main", "record", "--backbone", tmp_path / "backbone.safetensors")
    two = start_two(*command, "--output", tmp_path / "two.safetensors", *arguments)
    said = [process.communicate(timeout=200)[0] for process in two]
    assert [process.returncode for process in two] == [0, 0]
    assert "policy+calibration: 110 samples" in said[0]
    assert said[1] == ""
    Record(
        backbone=tmp_path / "backbone.safetensors",
        output=tmp_path / "one.safetensors",
        data=DataOptions(policy_size=40, calibration_size=70),
        split=("policy", "calibration"),
        batch_size=48,
        energy=True,
        hidden=True,
        membrane=True,
    ).run()
    assert (tmp_path / "two.safetensors").read_bytes() == (tmp_path / "one.safetensors").read_bytes()
    assert {file.suffix for file in tmp_path.iterdir()} == {".safetensors"}


def test_killed_and_continued_by_two_processes_or_one_it_is_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "_SECONDS_BETWEEN_SAVES", 0)
    whole = tmp_path / "whole.safetensors"
    all_steps = record_small(whole)
    file, alone = tmp_path / "two.safetensors", tmp_path / "alone.safetensors"

    leader, other = start_two(__file__, file, DIES_AT)
    assert other.wait(200) == -signal.SIGKILL
    leader.kill()
    leader.communicate()
    assert not file.exists()
    partial = file.with_name(f"{file.name}.partial")
    done = np.fromfile(partial / "done.rows", np.uint8).reshape(-1, 32).any(1)
    assert done[1::2].sum() == DIES_AT // TIMESTEPS
    shutil.copytree(partial, alone.with_name(f"{alone.name}.partial"))

    two = start_two(__file__, file, 0)
    steps = [json.loads(process.communicate(timeout=200)[0]) for process in two]
    assert file.read_bytes() == whole.read_bytes()
    left = (BATCHES - int(done.sum())) * TIMESTEPS
    probing = all_steps - BATCHES * TIMESTEPS
    assert sum(steps) == left + 2 * probing
    assert record_small(alone) == left + probing
    assert alone.read_bytes() == whole.read_bytes()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["alone.safetensors", "two.safetensors", whole.name]


def test_a_folder_that_was_never_finished_is_made_anew(tmp_path):
    (tmp_path / "done.rows").write_bytes(b"half")
    settings = {"batch_size": 2, "group": ProcessGroup(), "overwrite": False}
    partial = PartialRecording.open(tmp_path, {}, {"logits": (5, 2)}, {"logits": "float32"}, **settings)
    assert partial.missing(ProcessGroup()) == [0, 1, 2]
    partial.note(1)
    assert partial.missing(ProcessGroup()) == [0, 1, 2]
    partial.keep()
    again = PartialRecording.open(tmp_path, {}, {"logits": (5, 2)}, {"logits": "float32"}, **settings)
    assert again.missing(ProcessGroup()) == [0, 2]
    assert [again.missing(ProcessGroup(rank, 2)) for rank in range(2)] == [[0, 2], []]


def test_processes_on_several_machines_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    with pytest.raises(InputError, match="all 2 processes that record on one machine, got 1 on this one"):
        PartialRecording.open(tmp_path / "a", {}, {}, {}, batch_size=1, group=ProcessGroup(0, 2), overwrite=False)
    assert not (tmp_path / "a").exists()


if __name__ == "__main__":
    torch.set_num_threads(1)
    recording._SECONDS_BETWEEN_SAVES = 0
    print(record_small(Path(sys.argv[1]), int(sys.argv[2])))
