"""Every writer keeps an existing file unless it is told to overwrite, and says so by one sentence."""

import numpy as np
import pytest

import agents
import backbones as bb
import seenn_env
from agents.learners import write_means
from backbones import InputError
from backbones.data.frame_file import save_frames
from tests.helpers.recorded import few_samples, small_backbone
from tests.helpers.traces import make_traces

FRAMES = np.zeros((4, 2, 1, 4, 4), np.uint8)


def write_curve(path, **options):
    if not path.parent.joinpath("exact-seed0").exists():
        agents.train("exact", make_traces(60), log_dir=path.parent, steps=2)
    write_means(path.parent, "exact", **options)


def compare(path, **options):
    agents.compare({"margin": agents.Margin()}, make_traces(60, split="test"), log_dir=path.parent, **options)


WRITERS = {
    "policy.safetensors": lambda path, **options: agents.save(agents.Margin(), path, **options),
    "backbone.safetensors": lambda path, **options: bb.save(small_backbone(), path, **options),
    "traces.safetensors": lambda path, **options: make_traces(60).save(path, **options),
    "recorded.safetensors": lambda path, **options: seenn_env.record(small_backbone(), few_samples(), path, **options),
    "frames.npz": lambda path, **options: save_frames(path, FRAMES, np.arange(4) % 2, **options),
    "frames.safetensors": lambda path, **options: save_frames(path, FRAMES, np.arange(4) % 2, **options),
    "exact (mean of 1 seeds)": write_curve,
    "comparison.json": compare,
}


def contents(path):
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files}


@pytest.mark.parametrize("name", WRITERS)
def test_an_existing_file_is_kept_unless_overwrite_is_set(name, tmp_path):
    path, write = tmp_path / name, WRITERS[name]
    write(path)
    before = contents(path)
    with pytest.raises(InputError) as refusal:
        write(path)
    assert str(refusal.value) == f"{path} exists already: choose another output, or pass overwrite=True."
    assert contents(path) == before
    if path.is_file():
        path.write_bytes(b"of somebody else")
    write(path, overwrite=True)
    assert len(contents(path)) == len(before)
    assert contents(path).values() != [b"of somebody else"]


def test_an_exported_folder_is_kept_unless_overwrite_is_set(tmp_path):
    pytest.importorskip("onnxruntime")
    network = small_backbone()
    agents.export(network, agents.Margin(0.5), tmp_path, num_slots=2)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"start\.onnx exists already: choose another output, or pass overwrite=True"):
        agents.export(network, agents.Margin(0.9), tmp_path, num_slots=2)
    assert contents(tmp_path) == before
    agents.export(network, agents.Margin(0.9), tmp_path, num_slots=2, overwrite=True)
    assert contents(tmp_path)["policy.onnx"] != before["policy.onnx"]
