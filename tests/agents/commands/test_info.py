"""`seenn info`: the kind and the content of every file and folder of ours, and one sentence for others."""

import json
import os
import re
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image

import agents
import backbones as bb
from agents.commands.output import open_folder
from agents.commands.table import COMMANDS
from backbones.data.frame_file import save_frames
from backbones.data.image_folder.pixels import decoded
from backbones.networks.network import SpikingNetwork
from backbones.training.config import TrainingConfig
from backbones.training.run_state import RunState
from seenn_env import record
from seenn_env.traces.partial import DIGEST_BYTES, PartialRecording
from tests.helpers.commands import refused, seenn
from tests.helpers.programs import ROOT
from tests.helpers.recorded import few_samples, full_traces, small_backbone
from tests.helpers.traces import make_traces


def info(capsys, *names):
    """The facts of each, by `--json`."""
    seenn("info", *names, "--json")
    return json.loads(capsys.readouterr().out)["files"]


def refused_by_info(capsys, *names):
    with pytest.raises(SystemExit) as stop:
        seenn("info", *names)
    assert stop.value.code == 1
    return capsys.readouterr()


def test_traces_have_accuracy_over_time_by_split_and_their_origin(tmp_path, capsys):
    traces = full_traces("calibration")
    traces.save(tmp_path / "traces.safetensors")
    (facts,) = info(capsys, tmp_path / "traces.safetensors")
    assert (facts["kind"], facts["format"]) == ("traces", "seenn_env.traces/1")
    assert facts["bytes"] == (tmp_path / "traces.safetensors").stat().st_size
    assert facts["splits"]["calibration"]["accuracy"] == pytest.approx(traces.accuracy.tolist())
    assert (facts["splits"]["calibration"]["samples"], facts["splits"]["calibration"]["rows"]) == (12, 24)
    assert facts["fingerprint"] == small_backbone().fingerprint
    assert (facts["timesteps"], facts["num_classes"], facts["dataset"]) == (4, 10, "digits")
    assert {"hidden", "membrane", "energy_pj"} <= set(facts["columns"])
    seenn("info", tmp_path / "traces.safetensors")
    shown = "  ".join(f"t={t} {100 * right:.2f} %" for t, right in enumerate(traces.accuracy, 1))
    assert f"accuracy: {shown}\n" in capsys.readouterr().out


def test_a_packaged_name_stands_for_all_files_of_that_name(capsys):
    traces, backbone = info(capsys, "digits")
    assert (traces["kind"], backbone["kind"]) == ("traces", "backbone")
    assert traces["fingerprint"] == backbone["fingerprint"] == bb.load("digits").fingerprint
    assert backbone["parameters"] == sum(each.numel() for each in bb.load("digits").parameters())


def test_a_policy_has_its_algorithm_threshold_and_target(tmp_path, capsys):
    file = tmp_path / "exact.safetensors"
    make_traces(600, split=np.repeat(["policy", "calibration"], 300)).save(tmp_path / "traces.safetensors")
    train = ["train", "--algorithm", "exact", "--traces", tmp_path / "traces.safetensors", "--output", file]
    seenn(*train, "--target-timesteps", 1.5)
    capsys.readouterr()
    learned, packaged = info(capsys, file, "digits/confidence")
    assert learned["kind"] == packaged["kind"] == "policy"
    assert (learned["settings"]["algorithm"], learned["target_timesteps"]) == ("exact", 1.5)
    assert learned["threshold"] == agents.load(file).threshold
    assert (packaged["class"], packaged["threshold"]) == ("Confidence", agents.load("digits/confidence").threshold)


def test_frames_of_both_types_have_shape_classes_and_splits(tmp_path, capsys):
    frames = np.zeros((4, 3, 2, 5, 5), np.uint8)
    for name, split in (("a.npz", None), ("b.safetensors", np.array([0, 0, 3, 3]))):
        save_frames(tmp_path / name, frames, np.array([0, 1, 0, 1]), split=split, class_names=("wave", "clap"))
    first, second = info(capsys, tmp_path / "a.npz", tmp_path / "b.safetensors")
    for facts in (first, second):
        assert (facts["kind"], facts["shape"]) == ("frames", [4, 3, 2, 5, 5])
        assert facts["class_names"] == ["wave", "clap"]
    assert "splits" not in first
    assert second["splits"] == {"train": 2, "policy": 0, "calibration": 0, "test": 2}


def test_a_cache_of_images_has_its_shape(tmp_path, capsys):
    Image.new("L", (6, 5)).save(tmp_path / "one.png")
    decoded([tmp_path / "one.png"], tmp_path, tmp_path)
    (facts,) = info(capsys, *tmp_path.glob("images-*"))
    assert (facts["kind"], facts["source"], facts["shape"]) == ("cached images", "images", [1, 1, 5, 6])


def test_a_training_state_has_its_epochs_and_settings(tmp_path, capsys):
    network = small_backbone()
    assert isinstance(network, SpikingNetwork)
    state = RunState(network, TrainingConfig(epochs=9), network.fingerprint, losses=[2.0, 1.5], steps=14)
    state.save(tmp_path / "training.pt")
    (facts,) = info(capsys, tmp_path / "training.pt")
    assert (facts["kind"], facts["epochs_done"], facts["optimizer_steps"]) == ("training state", 2, 14)
    assert facts["losses"] == [2.0, 1.5]
    assert facts["network"]["network"] == "small"
    assert facts["fingerprint_at_start"] == network.fingerprint


def test_an_unfinished_recording_has_its_progress(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(PartialRecording, "remove", lambda partial: None)
    record(small_backbone(), few_samples("policy"), tmp_path / "traces.safetensors", batch_size=5)
    folder = tmp_path / "traces.safetensors.partial"
    digests = (folder / "done.rows").read_bytes()
    (folder / "done.rows").write_bytes(digests[:-DIGEST_BYTES] + bytes(DIGEST_BYTES))
    (facts,) = info(capsys, folder)
    assert (facts["kind"], facts["batches_done"], facts["batches"]) == ("unfinished recording", 2, 3)
    assert (facts["rows"], facts["split"], facts["dataset"]) == (12, "policy", "digits")


def test_the_result_of_a_command_has_its_settings_and_files(tmp_path, capsys):
    command = COMMANDS["compare"](traces=("digits",), output=tmp_path / "result", seed=3)
    output = open_folder(tmp_path / "result", command, False, makes=r"table\.txt")
    (output.work / "table.txt").write_text("a table")
    (begun,) = info(capsys, tmp_path / "result")
    output.close()
    (done,) = info(capsys, tmp_path / "result")
    assert (begun["kind"], begun["command"], begun["seed"]) == ("result of a command", "compare", 3)
    assert (begun["complete"], done["complete"]) == (False, True)
    assert done["files"] == ["table.txt"]


def test_the_figures_of_commands_and_the_folders_of_a_result_are_described(tmp_path, capsys):
    test, both = make_traces(300, split="test"), make_traces(600, split=np.repeat(["policy", "calibration"], 300))
    folder = tmp_path / "result" / "comparison"
    compared = agents.compare({"margin @ 1.5": agents.Margin(), "rule": agents.Confidence(0.5)}, test, log_dir=folder)
    agents.save(agents.Margin(), tmp_path / "result" / "policies" / "a.safetensors")
    both.save(tmp_path / "traces.safetensors")
    seenn("headroom", "--traces", tmp_path / "traces.safetensors", "--output", tmp_path / "headroom.json")
    capsys.readouterr()
    log = folder / "tensorboard"
    names = (folder, folder / "comparison.json", log, tmp_path / "result" / "policies", tmp_path / "headroom.json")
    whole, figures, logged, policies, headroom = info(capsys, *names)
    row = compared["margin @ 1.5"]
    for facts in (whole, figures):
        assert (facts["kind"], facts["split"], facts["samples"]) == ("comparison", "test", 300)
        assert facts["best_rule"] == compared.reference
        shown = f"{100 * row.accuracy.estimate:.2f} % ["
        assert facts["accuracy_at_timesteps"]["margin @ 1.5"].startswith(shown)
        assert facts["accuracy_at_timesteps"]["margin @ 1.5"].endswith(f"] at {row.mean_timesteps:.3f}")
    assert (logged["kind"], logged["runs"][0]) == ("log of TensorBoard", ".")
    assert logged["runs"] == [".", "margin", "rule"]
    assert (policies["kind"], policies["files"]) == ("folder", {"a.safetensors": "policy"})
    assert (headroom["kind"], headroom["samples"]) == ("headroom", 600)
    assert list(headroom["points_gained_by_optimal stopping"]) == list(headroom["confidence"])
    benchmarks = ROOT / "benchmarks"
    (speeds,) = info(capsys, benchmarks / "live" / "live.json")
    assert speeds["kind"] == "speeds"
    assert speeds["images_per_second_in_128_slots"]["all T timesteps"] > 0


def test_the_logs_in_a_result_are_runs_and_its_comparison_is_described(tmp_path, capsys):
    command = COMMANDS["compare"](traces=("digits",), output=tmp_path / "result")
    output = open_folder(tmp_path / "result", command, False, makes=r".*")
    agents.compare({"margin": agents.Margin(0.5)}, make_traces(200, split="test"), log_dir=output.work)
    output.close()
    (facts,) = info(capsys, tmp_path / "result")
    (tmp_path / "result" / "table.txt").write_text("better")
    with pytest.raises(SystemExit):
        seenn("info", tmp_path / "result")
    assert "table.txt does not match its digest" in capsys.readouterr().err
    assert "tensorboard/margin" in facts["tensorboard_runs"]
    assert not any("tfevents" in name for name in facts["files"])
    assert facts["comparison"]["samples"] == 200


def test_others_and_damaged_files_are_one_sentence_each_and_exit_1(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("dear")
    (tmp_path / "folder").mkdir()
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    (tmp_path / "numbers-0123456789abcdef.npy").write_bytes(b"no array")
    full_traces().save(tmp_path / "cut.safetensors")
    whole = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-9])
    (tmp_path / "figures.json").write_text('{"rows": 3, "differences": [], "reference": null}')
    names = [
        "notes.txt",
        "folder",
        "other.pt",
        "figures.json",
        "numbers-0123456789abcdef.npy",
        "cut.safetensors",
        "nothing",
    ]
    assert refused_by_info(capsys, tmp_path / "notes.txt").out == ""
    shown = refused_by_info(capsys, *(tmp_path / name for name in names), "digits/confidence")
    sentences = shown.err.splitlines()
    assert [name in sentence for name, sentence in zip(names, sentences, strict=True)] == [True] * len(names)
    assert all(sentence.startswith("seenn: Expected a") for sentence in sentences)
    assert "is not whole" in sentences[5]
    assert "class: Confidence" in shown.out  # the others are described nevertheless
    assert "at least one file or folder, got none" in refused(capsys, "info")


def test_a_pipe_in_a_folder_is_not_read_and_nothing_moves_the_cursor(tmp_path, capsys):
    (tmp_path / "step.onnx").touch()
    os.mkfifo(tmp_path / "network.json")
    seenn("info", tmp_path)
    (tmp_path / "network.json").unlink()
    (tmp_path / "network.json").write_text(json.dumps({"\x1b[2Jname": ["\x1b[2J", 1]}))
    seenn("info", tmp_path)
    with pytest.raises(SystemExit):
        seenn("info", "\x1b[2J")
    shown = "".join(capsys.readouterr())
    assert "\x1b" not in shown
    assert shown.count("\\x1b[2J") == 3


def test_a_folder_is_described_at_all_depths_by_the_names_as_they_are(tmp_path, capsys):
    deep = tmp_path / "a_b" / "c"
    agents.save(agents.Margin(), deep / "my_margin.safetensors")
    (deep / "notes.txt").write_text("mine")
    command = COMMANDS["compare"](traces=("digits",), output=deep / "result")
    output = open_folder(deep / "result", command, False, makes=r"table\.txt")
    full_traces().save(output.work / "traces.safetensors")
    (facts,) = info(capsys, tmp_path)
    kinds = {"a_b/c/my_margin.safetensors": "policy", "a_b/c/result": "result of a command"}
    assert (facts["kind"], facts["files"]) == ("folder", kinds)
    seenn("info", tmp_path)
    assert "  a_b/c/my_margin.safetensors: policy\n" in capsys.readouterr().out
    whole = (deep / "my_margin.safetensors").read_bytes()
    (deep / "my_margin.safetensors").write_bytes(whole[:-1])
    assert "a_b/c/my_margin.safetensors: Expected" in refused_by_info(capsys, tmp_path).out


def test_a_folder_of_many_files_is_described_in_part(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("agents.commands.file_kinds._MOST", 5)
    monkeypatch.setattr("agents.commands.info._MOST_LINES", 2)
    for number in range(7):
        agents.save(agents.Margin(), tmp_path / f"{number}.safetensors")
    (facts,) = info(capsys, tmp_path)
    assert len(facts["files"]) == 5
    assert facts["more"] == "only the first 5 paths are described"
    monkeypatch.setattr("agents.commands.info._MOST_LINES", 3)
    seenn("info", tmp_path)
    assert "    … (5)\n" in capsys.readouterr().out


def test_text_has_no_value_in_the_words_of_python(tmp_path, capsys):
    command = COMMANDS["compare"](traces=("digits",), output=tmp_path / "result")
    output = open_folder(tmp_path / "result", command, False, makes=r"table\.txt")
    (output.work / "table.txt").touch()
    seenn("info", tmp_path / "result")
    shown = capsys.readouterr().out
    assert "  complete: no\n" in shown
    assert "  rules: none\n" in shown
    assert not re.search(r"None|True|False|[\[\]{}']", shown)


def test_answers_of_classify_have_their_images_timesteps_and_classes(tmp_path, capsys):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    for columns in ("a.png", "b.png"), ("a.png",):
        files = [tmp_path / name for name in columns]
        with suppress(SystemExit):
            seenn("classify", "--backbone", "digits", "--inputs", *files, "--output", tmp_path / f"{len(files)}.csv")
    capsys.readouterr()
    both, one = info(capsys, tmp_path / "2.csv", tmp_path / "1.csv")
    assert both["kind"] == one["kind"] == "answers of classify"
    assert (both["images"], both["broken"], one["broken"]) == (1, 1, 0)
    assert sum(both["classes"].values()) == 1
    assert both["mean_timesteps"] >= 1
    (tmp_path / "1.csv").write_text((tmp_path / "1.csv").read_text().replace(",", ";", 9).replace(";", ",", 5))
    assert "1.csv" in refused_by_info(capsys, tmp_path / "1.csv").err


def test_left_overs_of_killed_commands_are_named_with_advice(tmp_path, capsys):
    (tmp_path / ".other.lock").write_text("of another program")
    (tmp_path / "other.npz").write_bytes(b"PK\x05\x06" + bytes(17))
    parts, partial = tmp_path / "traces.parts", tmp_path / "traces.partial"
    full_traces("policy").save(parts / "policy-float16-0123456789abcdef.safetensors")
    (tmp_path / "log").mkdir()
    partial.mkdir()
    (partial / "logits.rows").touch()
    names = {
        ".a.safetensors.01234567.tmp": "the same command deletes it",
        ".out.lock": "the next with that output deletes it",
        "log/.ppo-seed0.unfinished": "the same command replaces both",
    }
    for name in names:
        (tmp_path / name).write_bytes(b"" if name.endswith(".lock") else b"12345678{")
    (recording, rest, *others) = info(capsys, parts, partial, *(tmp_path / name for name in names))
    assert recording["kind"] == "unfinished recording of several splits"
    assert recording["files"] == {"policy-float16-0123456789abcdef.safetensors": "traces"}
    assert "the same command completes it" in recording["advice"]
    assert rest["kind"] == "left-over"
    for facts, advice in zip(others, names.values(), strict=True):
        assert facts["kind"] == "left-over"
        assert advice in facts["advice"]
    (folder,) = info(capsys, tmp_path)
    assert folder["files"][".out.lock"] == f"left-over: {others[1]['advice']}"
    assert folder["files"]["traces.parts"] == "unfinished recording of several splits"
    assert len(folder["files"]) == 5
    assert "damaged" not in folder


INTERVAL = {"estimate": 0.5, "low": 0.4, "high": 0.6}
ROW = {"name": "a", "accuracy": INTERVAL, "mean_timesteps": 1.5}
COMPARISON = {"dataset": "d", "split": "test", "samples": 9, "timesteps": 2, "rows": [ROW], "differences": []}
COMPARISON |= {"reference": "a", "provenance": {}}
HEADROOM = {"split": "policy", "samples": 9, "folds": 2, "targets": [1.5], "confidence": [INTERVAL], "gains": {}}
IMPOSSIBLE = [
    {**COMPARISON, "samples": -1},
    {**COMPARISON, "timesteps": True},
    {**COMPARISON, "timesteps": 1},
    {**COMPARISON, "rows": [ROW, ROW]},
    {**COMPARISON, "rows": {}},
    {**COMPARISON, "rows": [{**ROW, "mean_timesteps": float("nan")}]},
    {**COMPARISON, "rows": [{**ROW, "accuracy": {**INTERVAL, "high": 0.3}}]},
    {**COMPARISON, "rows": [{**ROW, "accuracy": {**INTERVAL, "estimate": float("nan")}}]},
    {**COMPARISON, "rows": [{**ROW, "accuracy": {**INTERVAL, "estimate": 50.0}}]},
    {**HEADROOM, "targets": [float("inf")]},
    {**HEADROOM, "targets": [0.5]},
    {**HEADROOM, "gains": {"margin": [{**INTERVAL, "low": -2}]}},
]


def test_figures_of_impossible_numbers_are_refused(tmp_path, capsys):
    for number, content in enumerate([COMPARISON, HEADROOM, *IMPOSSIBLE]):
        (tmp_path / f"{number}.json").write_text(json.dumps(content))
    assert len(info(capsys, tmp_path / "0.json", tmp_path / "1.json")) == 2
    for number in range(2, 2 + len(IMPOSSIBLE)):
        assert f"{number}.json, but" in refused_by_info(capsys, tmp_path / f"{number}.json").err, IMPOSSIBLE[number - 2]
