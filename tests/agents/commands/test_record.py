"""`seenn record` of several splits, killed between them: parts of the same settings are kept, others never mixed in."""

import os
from pathlib import Path
from typing import Any

import pytest

import backbones as bb
import seenn_env
from agents.commands.data import DataOptions
from agents.commands.record import Record
from tests.helpers.recorded import small_backbone


def command(folder: Path, splits: tuple[str, ...] = ("policy", "calibration"), **settings: Any) -> Record:
    sizes = DataOptions(policy_size=40, calibration_size=30)
    file = folder / "backbone.safetensors"
    output = folder / "out.safetensors"
    return Record(backbone=file, output=output, data=sizes, split=splits, batch_size=32, **settings)  # type: ignore[arg-type]


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """A folder with the part of one split, of a command that was killed while it recorded the other."""
    bb.save(small_backbone(), tmp_path / "backbone.safetensors")
    record = seenn_env.record

    def dying(backbone, samples, *arguments, **settings):
        if samples.split == "calibration":
            raise KeyboardInterrupt
        return record(backbone, samples, *arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(seenn_env, "record", dying)
        with pytest.raises(KeyboardInterrupt):
            command(tmp_path).run()
    return tmp_path


def recorded_splits(monkeypatch) -> list[str]:
    """The splits that are recorded from now on."""
    record, splits = seenn_env.record, []

    def watched(backbone, samples, *arguments, **settings):
        splits.append(samples.split)
        return record(backbone, samples, *arguments, **settings)

    monkeypatch.setattr(seenn_env, "record", watched)
    return splits


def test_the_same_command_continues_after_the_part_that_is_there(killed, monkeypatch):
    splits = recorded_splits(monkeypatch)
    command(killed).run()
    assert splits == ["calibration"]
    assert not (killed / "out.safetensors.parts").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden": True},
        {"membrane": True},
        {"images": True},
        {"energy": True},
        {"repeats": 2},
        {"dtype": "float32"},
        {"corruption": "contrast"},
    ],
)
def test_with_other_settings_it_starts_afresh(killed, settings, monkeypatch):
    splits = recorded_splits(monkeypatch)
    command(killed, **settings).run()
    assert splits == ["policy", "calibration"]
    fresh = killed / "fresh"
    fresh.mkdir()
    (fresh / "backbone.safetensors").write_bytes((killed / "backbone.safetensors").read_bytes())
    command(fresh, **settings).run()
    assert (killed / "out.safetensors").read_bytes() == (fresh / "out.safetensors").read_bytes()


def test_with_another_backbone_it_starts_afresh(killed, monkeypatch):
    splits = recorded_splits(monkeypatch)
    bb.save(small_backbone(timesteps=3), killed / "backbone.safetensors")
    command(killed).run()
    assert splits == ["policy", "calibration"]
    assert seenn_env.Traces.load(killed / "out.safetensors").timesteps == 3


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_recording_of_one_split_removes_the_parts_of_several(killed):
    (killed / "out.safetensors.parts" / ".test-float16-0123456789abcdef.safetensors.01234567.tmp").touch()
    command(killed, ("test",)).run()
    assert names(killed) == {"backbone.safetensors", "out.safetensors"}
    assert seenn_env.Traces.load(killed / "out.safetensors").split == "test"
    with pytest.raises(bb.InputError, match="exists already"):
        command(killed).run()


def test_a_recording_of_several_splits_removes_the_rows_of_one(killed, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("seenn_env.traces.recording.Traces.save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            command(killed, ("test",)).run()
    assert names(killed) == {"backbone.safetensors", "out.safetensors.partial", "out.safetensors.parts"}
    command(killed).run()
    assert names(killed) == {"backbone.safetensors", "out.safetensors"}


def test_parts_beside_an_older_file_stay_until_it_may_be_replaced(killed, monkeypatch):
    (killed / "out.safetensors").write_bytes(b"mine")
    os.utime(killed / "out.safetensors", (0, 0))
    with pytest.raises(bb.InputError, match="exists already: choose another output, or pass --overwrite"):
        command(killed).run()
    splits = recorded_splits(monkeypatch)
    command(killed, overwrite=True).run()
    assert splits == ["calibration"]


def test_parts_of_a_command_that_had_finished_are_removed(killed):
    (killed / "out.safetensors").write_bytes(b"whole")
    with pytest.raises(bb.InputError, match="exists already: choose another output, or pass --overwrite"):
        command(killed).run()
    assert names(killed) == {"backbone.safetensors", "out.safetensors"}
