"""Files of every format version are read: one of each is kept in `tests/data/formats`, as its version wrote it."""

import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

import agents
import backbones as bb
from agents.commands.file_kinds import describe
from backbones.data.cache import cached_rows
from backbones.data.frame_file import read_frames
from backbones.training.run_state import RunState
from seenn_env import Traces

FORMATS = Path(__file__).parent / "data" / "formats"
PACKAGES = [Path(package.__file__).parent for package in (agents, bb)] + [Path(__file__).parents[1] / "seenn_env"]


def test_a_file_of_every_format_that_the_packages_name_is_kept():
    sources = [file.read_text() for package in PACKAGES for file in package.rglob("*.py")]
    named = {match for text in sources for match in re.findall(r'"seenn_env\.([a-z]+/\d+)"', text)}
    kept = {describe(file)["format"].removeprefix("seenn_env.") for file in FORMATS.glob("*.safetensors")}
    assert kept == named
    assert {"policy/1", "policy/2", "traces/1"} <= named


def test_policies_of_both_versions_are_the_same_policy():
    first, second = (agents.load(FORMATS / f"policy-{version}.safetensors") for version in (1, 2))
    assert first.tensors.keys() == second.tensors.keys()
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)
    assert first.threshold == second.threshold == pytest.approx(0.3436076851777031)


@pytest.mark.parametrize("version", [1, 2])
def test_backbones_of_both_versions_are_the_same_network(version):
    network = bb.load(FORMATS / f"backbone-{version}.safetensors")
    assert network.timesteps == 4
    assert network.fingerprint == "741f886b581be5ace5c391650af3c8b4"


def test_traces_of_version_1_are_rows_of_the_packaged_ones():
    traces, packaged = Traces.load(FORMATS / "traces-1.safetensors"), Traces.load("digits", split="test")[:30]
    assert np.array_equal(traces.logits, packaged.logits)
    assert np.array_equal(traces.labels, packaged.labels)
    assert traces.split == "test"
    assert traces.info["fingerprint"] == packaged.info["fingerprint"]


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_frames_are_read_from_both_types_of_file(suffix):
    whole = read_frames(FORMATS / f"frames-1.{suffix}")
    assert np.array_equal(whole.images.ravel(), np.arange(12 * 2 * 16) % 3)
    assert np.array_equal(whole.split, np.arange(12) % 4)
    assert whole.class_names == ("a", "b", "c")


def test_a_cache_is_used():
    rows = cached_rows(FORMATS / "cache-1.safetensors", iter(()), 20, "none")
    assert np.array_equal(rows.ravel(), np.arange(400) % 256)


def test_the_state_of_a_training_is_restored(monkeypatch):
    network = bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=2, seed=1)
    state = RunState(network, bb.TrainingConfig(), start="")
    before = network.fingerprint
    monkeypatch.setattr(RunState, "name", lambda self: "another run")
    with pytest.raises(bb.InputError, match="one with other settings or samples"):
        state.restore(FORMATS / "training-1.safetensors")
    assert network.fingerprint == before
    monkeypatch.setattr(RunState, "name", lambda self: mock.ANY)
    restored = state.restore(FORMATS / "training-1.safetensors")
    assert state.losses == pytest.approx([2.23736], abs=1e-5)
    assert state.steps == 2
    assert network.fingerprint != before
    assert "optimizer" in restored
