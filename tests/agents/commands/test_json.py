"""`--json`: one object on standard output and nothing else; the running line of a comparison; its time."""

import json
import time
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

import agents
import backbones as bb
from agents.commands.compare import line_up
from agents.comparison import headroom
from seenn_env import Traces
from tests.helpers.commands import refused, seenn

CIFAR = "cifar10-jpeg"
MANY = [f"{name}{seed}={CIFAR}/{name}" for seed in range(7) for name in ("ppo", "dqn", "exact")]


def compared(chosen):
    """The comparison of those policies without the command."""
    learned = {entry.partition("=")[0]: [agents.load(entry.partition("=")[2])] for entry in chosen}
    calibration, test = (Traces.load(CIFAR, split=split) for split in ("calibration", "test"))
    entries = line_up(test, calibration, (1.5,), {"confidence": agents.Confidence()}, learned)
    return agents.compare(entries, test)


@pytest.mark.parametrize("count", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_compare_prints_its_result_in_time_beside_a_running_line(count, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    options = ["--targets", 1.5, "--rules", "confidence", "--output", tmp_path / "out", "--json"]
    options += ["--policies", *MANY[:count]]
    begin = time.process_time()
    seenn("compare", "--traces", CIFAR, "--calibration", CIFAR, *options)
    assert time.process_time() - begin < 20  # 20 policies, 10,000 images, T = 4
    out, err = capsys.readouterr()
    shown = json.loads(out)
    assert shown.pop("report") == str(tmp_path / "out" / "report.html")
    shown.pop("provenance")
    expected = json.loads(json.dumps(compared(MANY[:count]).to_dict()))
    expected.pop("provenance")
    assert shown == expected
    for stage, total in (("calibrate", count + 1), ("evaluate", count + 7), ("bootstrap", 1), ("report", 1)):
        assert f"\r{stage}: " in err
        assert f" 0/{total} [" in err


def test_a_pipe_has_no_running_line(tmp_path, capsys):
    seenn("compare", "--traces", "digits", "--output", tmp_path / "out")
    assert capsys.readouterr().err == ""


def test_a_policy_without_a_threshold_is_refused_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("agents.calibrate", None)
    agents.save(agents.Oracle(), tmp_path / "oracle.safetensors")
    options = ["--policies", f"best={tmp_path / 'oracle.safetensors'}", "--output", tmp_path / "out"]
    message = refused(capsys, "compare", "--traces", "digits", "--calibration", "digits", *options)
    assert "Expected a policy with a threshold to calibrate, got Oracle." in message
    assert not (tmp_path / "out").exists()


def test_a_comparison_refused_at_work_leaves_no_folder(tmp_path, capsys):
    policy = agents.train("exact", Traces.load("digits-hidden"), observation="hidden", steps=2)
    agents.save(policy, tmp_path / "hidden.safetensors")
    bare = Traces.load("digits-hidden", split="test")
    fields = {name: getattr(bare, name) for name in ("logits", "labels", "sample", "repeat")}
    Traces(**fields, split="test", info=bare.info).save(tmp_path / "test.safetensors")
    options = ["--policies", f"hidden={tmp_path / 'hidden.safetensors'}", "--output", tmp_path / "out"]
    message = refused(capsys, "compare", "--traces", tmp_path / "test.safetensors", *options)
    assert "Expected hidden for the observation 'hidden', got none" in message
    assert not (tmp_path / "out").exists()


def test_headroom_prints_its_figures(tmp_path, capsys):
    options = ["--traces", "digits-hidden", "--split", "policy", "--folds", 2, "--targets", 1.5]
    seenn("headroom", *options, "--json", "--output", tmp_path / "figures.json")
    shown = json.loads(capsys.readouterr().out)
    traces = Traces.load("digits-hidden", split="policy")
    assert shown == json.loads(json.dumps(asdict(headroom(traces, targets=(1.5,), folds=2))))
    assert shown == json.loads((tmp_path / "figures.json").read_text())


def test_classify_prints_summary_and_answers_and_counts_broken_images(tmp_path, capsys):
    test = bb.load_dataset("digits").test
    folder = tmp_path / "pictures"
    folder.mkdir()
    for row in range(3):
        Image.fromarray(test.images[row, 0]).save(folder / f"{row}.png")
    (folder / "bad.png").write_bytes(b"no")
    options = ["--backbone", "digits", "--inputs", folder, "--energy-images", 2, "--json"]
    with pytest.raises(SystemExit) as stop:
        seenn("classify", *options)
    assert stop.value.code == 1
    out, err = capsys.readouterr()
    shown = json.loads(out)
    found = agents.classify(folder, bb.load("digits"), agents.Margin(), num_slots=128)
    rows = {row["name"].rsplit("/", 1)[-1]: row for row in shown["answers"]}
    assert [rows[f"{row}.png"]["prediction"] for row in range(3)] == found.predictions[:3].tolist()
    assert [rows[f"{row}.png"]["timesteps"] for row in range(3)] == found.timesteps[:3].tolist()
    assert rows["bad.png"]["prediction"] is None
    assert "cannot be read" in rows["bad.png"]["problem"]
    assert "cannot be read" in err
    assert (shown["images"], shown["broken"], shown["energy"]["images"]) == (3, 1, 2)
    assert shown["mean_timesteps"] == pytest.approx(np.mean(found.timesteps[:3]))


def test_classify_keeps_answers_out_of_the_object_where_they_have_a_file(tmp_path, capsys):
    file = tmp_path / "answers.csv"
    seenn("classify", "--backbone", "digits", "--dataset", "digits", "--output", file, "--json")
    shown = json.loads(capsys.readouterr().out)
    assert shown["answers"] == str(file)
    predictions = np.loadtxt(file, delimiter=",", skiprows=1, usecols=1, dtype=int)
    labels = bb.load_dataset("digits").test.labels
    assert shown["accuracy"] == pytest.approx((predictions == labels).mean())
    assert shown["images"] == len(labels) == len(predictions)
