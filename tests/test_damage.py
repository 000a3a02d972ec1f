"""Damaged files of every kind: refused with the file and a reason, or unchanged in meaning."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import agents
import backbones as bb
from backbones.data.cache import cached_rows
from backbones.data.frame_file import read_frames, save_frames
from backbones.hashing import hash_rows, hash_tensors
from backbones.training.loop import TrainingConfig, train
from seenn_env import Traces, record
from tests.helpers.commands import seenn
from tests.helpers.traces import make_traces


@dataclass(frozen=True)
class Kind:
    """A kind of files."""

    make: Callable[[Path], Any]
    """Write one at a path."""
    meaning: Callable[[Path], Any]
    """The content of one, by the loader that users call."""


def network(seed: int = 0) -> Any:
    return bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=4, seed=seed)


@cache
def splits() -> bb.Splits:
    whole = bb.load_dataset("digits")
    parts = {name: whole[name].select(slice(0, 40)) for name in ("train", "policy", "calibration", "test")}
    return replace(whole, **parts)


def begin_training(path: Path) -> None:
    train(network(), splits(), TrainingConfig(epochs=1, batch_size=20), resume=path)


def ended_training(path: Path) -> str:
    continued = network()
    train(continued, splits(), TrainingConfig(epochs=1, batch_size=20), resume=path)
    return continued.fingerprint


class KilledError(Exception):
    pass


def begin_recording(path: Path) -> None:
    """Leave the third file of a partial recording, and its two others beside it."""
    backbone, steps = network(), []
    step = backbone.step

    def dying(state: Any) -> Any:
        steps.append(1)
        if len(steps) > 4:
            raise KilledError
        return step(state)

    backbone.step = dying
    with pytest.raises(KilledError):
        record(backbone, splits().policy, path, batch_size=10)


def ended_recording(path: Path) -> str:
    return record(network(), splits().policy, path, batch_size=10).path.read_bytes().hex()


def policy_meaning(path: Path) -> str:
    policy = agents.load(path)
    return hash_tensors(policy.tensors, repr({k: v for k, v in vars(policy).items() if k != "tensors"}))


def backbone_meaning(path: Path) -> Any:
    loaded = bb.load(path)
    return loaded.fingerprint, loaded.class_names, loaded.division


def frames_meaning(path: Path) -> Any:
    whole = read_frames(path)
    return hash_rows(whole.images, whole.labels, whole.split), whole.class_names


def traces_meaning(path: Path) -> Any:
    traces = Traces.load(path)
    return hash_rows(traces.logits, traces.labels, traces.sample, traces.repeat), traces.split, traces.info


def save_some_frames(path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 3, (12, 2, 1, 4, 4), np.uint8)
    save_frames(path, frames, np.arange(12) % 3, class_names=("a", "b", "c"), split=np.arange(12) % 4)


def cache_rows(path: Path) -> np.ndarray:
    rows = np.arange(400, dtype=np.uint8).reshape(20, 20) if not path.exists() else np.zeros((0, 20), np.uint8)
    return cached_rows(path, iter(rows), 20, "test")


DIVISION = {"dataset": "digits", "seed": 0, "sizes": {"train": 700}}
KINDS = {
    "policy.safetensors": Kind(lambda path: agents.save(agents.load("digits/exact"), path), policy_meaning),
    "backbone.safetensors": Kind(
        lambda path: bb.save(network(), path, class_names=[str(k) for k in range(10)], division=DIVISION),
        backbone_meaning,
    ),
    "traces.safetensors": Kind(lambda path: make_traces(30).save(path), traces_meaning),
    "frames.safetensors": Kind(save_some_frames, frames_meaning),
    "frames.npz": Kind(save_some_frames, frames_meaning),
    "cache.safetensors": Kind(cache_rows, lambda path: hash_rows(cache_rows(path))),
    "training.pt": Kind(begin_training, ended_training),
}


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One of: a bit, a byte, a cut, more bytes, two blocks swapped, a block of zeros, a digit or a letter of text."""
    changed, place = bytearray(data), int(rng.integers(len(data)))
    how, length = int(rng.integers(8)), int(rng.integers(1, 65))
    if how == 0:
        changed[place] ^= 1 << int(rng.integers(8))
    elif how == 1:
        changed[place] = int(rng.integers(256))
    elif how == 2:
        del changed[place:]
    elif how == 3:
        changed += bytes(length)
    elif how == 4:
        other = int(rng.integers(len(data)))
        changed[place : place + length], changed[other : other + length] = data[other:][:length], data[place:][:length]
    elif how == 5:
        changed[place : place + length] = bytes(len(changed[place : place + length]))
    else:
        text = [at for at in range(min(len(data), 4000)) if chr(data[at]).isdigit() == (how == 6) and data[at] < 128]
        changed[text[int(rng.integers(len(text)))] if text else place] = ord("7" if how == 6 else "x")
    return bytes(changed)


@pytest.mark.parametrize("count", [25, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", KINDS)
def test_a_damaged_file_is_refused_by_name_or_means_the_same(name, count, tmp_path):
    file, kind, rng = tmp_path / name, KINDS[name], np.random.default_rng(count)
    kind.make(file)
    whole, meaning = file.read_bytes(), kind.meaning(file)
    file.write_bytes(whole)
    refused = same = 0
    for number in range(count):
        file.write_bytes(damaged(whole, rng))
        try:
            assert kind.meaning(file) == meaning, f"damage {number} changed the meaning"
            same += 1
        except bb.InputError as error:
            said = str(error)
            refused += str(file) in said
    assert refused + same == count  # each refusal names the file
    assert refused > count / 2
    print(f"{name}: {refused} of {count} refused, {same} unchanged in meaning")


@pytest.mark.parametrize("count", [8, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("part", ["settings.json", "logits.rows", "done.rows"])
def test_a_damaged_partial_recording_is_refused_or_ends_with_the_same_file(part, count, tmp_path):
    file, rng = tmp_path / "traces.safetensors", np.random.default_rng(count)
    folder, kept = tmp_path / f"{file.name}.partial", tmp_path / "kept"
    begin_recording(file)
    shutil.copytree(folder, kept)
    whole = ended_recording(file)
    refused = same = 0
    for number in range(count):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept, folder)
        file.unlink(missing_ok=True)
        (folder / part).write_bytes(damaged((kept / part).read_bytes(), rng))
        try:
            assert ended_recording(file) == whole, f"damage {number} changed the file"
            same += 1
        except bb.InputError as error:
            refused += str(folder) in str(error)
    assert refused + same == count
    print(f"partial recording, {part}: {refused} of {count} refused, {same} ended with the same file")


def test_results_of_a_comparison_have_their_digests(tmp_path):
    traces = make_traces(40, split="test").save(tmp_path / "traces.safetensors")
    seenn("compare", "--traces", traces, "--output", tmp_path / "out")
    listed = dict(reversed(line.split("  ", 1)) for line in (tmp_path / "out" / "complete").read_text().splitlines())
    assert {"comparison.json", "table.txt", "report.html"} <= listed.keys()
    for name, digest in listed.items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())
