"""benchmarks/gpu, dry: a tiny network and 96 images on the CPU, in a tree of tracked files alone."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import backbones as bb
from backbones.data import SPLITS
from backbones.tensor_files import load_tensor_file
from backbones.training.loop import TrainingConfig, train
from tests.helpers.programs import ROOT, load_program

ARCHIVE = ROOT / "tests" / "data" / "cifar10-jpeg-96.tar.xz"
LEAN = """
import sys

class Lean:
    # A finder that does not find some packages.
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"gymnasium", "stable_baselines3", "tyro", "tensorboard", "sb3_contrib"}:
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path = [Lean(finder) for finder in sys.meta_path]
"""


def tracked() -> list[Path]:
    """Files of the repository; skips where it is not one."""
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        pytest.skip("needs a git checkout")
    return [Path(name) for name in found.stdout.split("\0") if name and (ROOT / name).is_file()]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR")}
    return {**kept, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "TESTS": "20", **more}


@pytest.fixture(scope="module")
def gpu_modules():
    return [load_program(f"benchmarks/gpu/{name}") for name in ("images", "weights", "train")]


def test_the_tree_can_travel():
    weights = Path("benchmarks/gpu/resnet19")
    size = sum((ROOT / name).stat().st_size for name in tracked() if weights not in name.parents)
    assert size < 18e6


def test_the_archive_is_read_as_a_folder_of_images(gpu_modules, tmp_path):
    images, _, _ = gpu_modules
    splits = images.read(ARCHIVE)
    assert {name: len(splits[name]) for name in SPLITS} == {"train": 40, "policy": 20, "calibration": 20, "test": 16}
    shutil.unpack_archive(ARCHIVE, tmp_path / "cifar10-jpeg-96")
    other = bb.load_dataset("folder", tmp_path / "cifar10-jpeg-96", policy_size=20, calibration_size=20)
    for name in SPLITS:
        np.testing.assert_array_equal(splits[name].images, other[name].images)
        np.testing.assert_array_equal(splits[name].labels, other[name].labels)
        np.testing.assert_array_equal(splits[name].index, other[name].index)
    assert splits.test.class_names == other.test.class_names
    (tmp_path / "no.tar").write_text("text")
    with pytest.raises(bb.InputError, match="tar archive of JPEGs"):
        images.read(tmp_path / "no.tar")


def test_its_training_steps_give_the_losses_of_the_ordinary_trainer(gpu_modules):
    images, _, training = gpu_modules
    splits = images.read(ARCHIVE)
    config = training.config_of(dry=True)
    networks = [training.make_network(splits.train, "cpu", 4, timesteps=4, norm="tdbn-per-timestep") for _ in range(2)]
    trainer = training.Trainer(networks[0], splits.train, config, 2, 2, 0.05)
    losses = [trainer.epoch()[0] for _ in range(2)]
    settings = {name: getattr(config, name) for name in TrainingConfig.__dataclass_fields__}
    ordinary = train(networks[1], splits, TrainingConfig(**{**settings, "stages": ((2, 2, 0.05),)}))
    np.testing.assert_allclose(losses, ordinary.losses, rtol=1e-6)


def test_weights_come_back_in_parts_as_they_were_rounded(gpu_modules, tmp_path, monkeypatch):
    _, weights, _ = gpu_modules
    monkeypatch.setattr(weights, "MOST", 20_000)
    network = bb.build("resnet19", num_classes=10, timesteps=2, width=4)
    weights.keep(network, tmp_path, 3, {"plan": [[2, 5, 0.1]]})
    weights.keep(network, tmp_path, 4, {"plan": [[2, 5, 0.1]]})
    files = sorted(file.name for file in tmp_path.glob("weights-*"))
    assert len(files) > 1
    assert all(name.startswith("weights-004") for name in files)
    back, state = weights.restore(tmp_path)
    assert state["epoch"] == 4
    assert back.fingerprint == weights.rounded(network).fingerprint


def bare_tree(folder: Path) -> Path:
    """The tracked files alone, and a Python that finds no packages but those of the GPU machine."""
    for name in tracked():
        (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "tree" / name)
    (folder / "lean").mkdir()
    (folder / "lean" / "sitecustomize.py").write_text(LEAN)
    return folder / "tree"


def check(out: Path) -> dict:
    """Every file exists, and none is larger than the limit."""
    names = {file.name for file in out.iterdir()}
    assert {"gpu-tests.txt", "log.jsonl", "result.json", "state.json", "traces.safetensors"} <= names
    assert len(names) <= 8
    assert all(file.stat().st_size <= 15 << 20 for file in out.iterdir())
    result = json.loads((out / "result.json").read_text())
    assert result["sizes"] == {"train": 40, "policy": 20, "calibration": 20, "test": 16}
    assert len(result["splits"]["test"]["accuracy"]) == 4
    assert 0 <= result["without_time"]["accuracy"]["test"] <= 1
    tensors, about = load_tensor_file(out / "traces.safetensors", kind="logits", format="seenn_env.raw_logits/1")
    assert tensors["logits"].shape == (56, 4, 10)
    assert about["fingerprint"] == result["fingerprint"]
    return result


@pytest.mark.slow  # half a dozen processes that start PyTorch
def test_train_finishes_and_after_kills_continues(tmp_path):
    tree = bare_tree(tmp_path)
    command = [tree / "benchmarks" / "gpu" / "train.sh", "--dry-run", ARCHIVE]
    there = environment(PYTHONPATH=str(tmp_path / "lean"))
    began = time.monotonic()
    done = subprocess.run([*command, tmp_path / "first"], env=there, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    took = time.monotonic() - began
    first = check(tmp_path / "first")
    rng, killed = random.Random(0), tmp_path / "killed"
    for _ in range(3):
        process = subprocess.Popen([*command, killed], env=there, stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            process.wait(rng.uniform(0.4, 1.0) * took)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
    done = subprocess.run([*command, killed], env=there, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check(killed)
    there["RESUME"] = str(tmp_path / "first")
    done = subprocess.run([*command, tmp_path / "second"], env=there, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    second = check(tmp_path / "second")
    assert second["fingerprint"] != first["fingerprint"]
    state = json.loads((tmp_path / "second" / "state.json").read_text())
    assert [stage[0] for stage in state["plan"]] == [4]
    assert state["epochs_before"] == 4


@pytest.mark.slow
def test_measure_finishes_with_and_without_the_packages(tmp_path):
    tree = bare_tree(tmp_path)
    command = [tree / "benchmarks" / "gpu" / "measure.sh", "--dry-run", ARCHIVE, tmp_path / "out"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "measured.json").read_text())["parts"]
    for part in ("live-float32", "environments"):
        assert found[part]["exit_status"] == 0, (tmp_path / "out" / "measured.txt").read_text()
        assert found[part]["figures"]
    lean = environment(PYTHONPATH=str(tmp_path / "lean"))
    command[-1] = tmp_path / "lean-out"
    done = subprocess.run(command, env=lean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "lean-out" / "measured.json").read_text())["parts"]
    assert all("not installed: " in part["left_out"] for part in found.values())
