"""The command `seenn`: every step in small, and its errors."""

import io
import json
import time
from collections import defaultdict
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
import torch
from PIL import Image

import agents
from agents.commands.train_backbone import copy_weights
from backbones import InputError, build, load, save
from seenn_env import Traces
from tests.helpers.commands import refused, seenn
from tests.helpers.programs import run_python
from tests.helpers.traces import make_traces

QUICK = ["quickstart", "--epochs", "2", "--total-timesteps", "4096", "--seeds", "2", "--targets", "1.5"]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    folder, output, errors = tmp_path_factory.mktemp("runs") / "quickstart", io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        seenn(*QUICK, "--output", folder)
    return folder, (output.getvalue(), errors.getvalue())


def test_quickstart_prints_the_table_and_writes_every_file(quickstart):
    folder, (output, errors) = quickstart
    for text in ("accuracy %: t=1", "AET", "empirical AET", "fixed @ 8", "confidence @ 1.5", "oracle", "PPO) @ 1.5"):
        assert text in output
    assert "per-timestep-margin @ 1.5: " in output
    assert "it/s" not in errors  # no progress bars in a pipe
    results = ("comparison/comparison.png", "comparison/report.html")
    for name in ("backbone.safetensors", "test.safetensors", "ppo-seed1.safetensors", *results):
        assert (folder / name).is_file()
    stored = json.loads((folder / "comparison" / "comparison.json").read_text())
    assert next(row for row in stored["rows"] if "PPO" in row["name"])["seeds"] == 2


def test_a_complete_output_is_refused_and_stays_unless_overwritten(quickstart, capsys):
    folder, _ = quickstart
    before = (folder / "backbone.safetensors").stat().st_mtime_ns
    assert "holds a complete result" in refused(capsys, *QUICK, "--output", folder)
    assert (folder / "backbone.safetensors").stat().st_mtime_ns == before


def test_a_partial_output_is_continued_with_the_same_settings_only(quickstart, capsys):
    folder, _ = quickstart
    (folder / "complete").unlink()
    before = {name: (folder / name).read_bytes() for name in ("backbone.safetensors", "ppo-seed0.safetensors")}
    (folder / "ppo-seed1.safetensors").unlink()
    assert "holds a result of other settings" in refused(capsys, *QUICK, "--output", folder, "--seed", 7)
    seenn(*QUICK, "--output", folder)
    assert (folder / "complete").exists()
    for name, content in before.items():
        assert (folder / name).read_bytes() == content
    assert "train a spiking network" not in capsys.readouterr().out


def test_a_folder_of_something_else_is_never_touched(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("dear")
    message = refused(capsys, *QUICK, "--output", tmp_path, "--overwrite")
    assert "is not a result of this program" in message
    assert (tmp_path / "thesis.tex").read_text() == "dear"


def test_the_steps_of_the_way_one_by_one(tmp_path, capsys):
    short = ["--epochs", 2, "--width", 4, "--timesteps", 3]
    seenn("train-backbone", "--output", tmp_path / "net", *short)
    network = tmp_path / "net" / "backbone.safetensors"
    for split in ("policy", "calibration", "test"):
        record = ["record", "--backbone", network, "--split", split, "--output", tmp_path / f"{split}.safetensors"]
        seenn(*record, "--repeats", 2)
    traces = ["--traces", tmp_path / "policy.safetensors", tmp_path / "calibration.safetensors"]
    learned_file = tmp_path / "ppo.safetensors"
    seenn("train", *traces, "--total-timesteps", 4096, "--target-timesteps", 1.5, "--output", learned_file)
    policies = ["--policies", f"PPO={learned_file}"]
    test = ["compare", "--traces", tmp_path / "test.safetensors", "--output", tmp_path / "comparison"]
    seenn(*test, "--calibration", tmp_path / "calibration.safetensors", *policies, "--targets", 1.5)
    out = capsys.readouterr().out
    assert "accuracy % on calibration: t=1" in out
    assert "PPO @ 1.5 - confidence @ 1.5" in out
    assert "split test, 497 samples" in out

    record[4:] = ["calibration", "test", "--output", tmp_path / "both.safetensors"]
    seenn(*record, "--repeats", 2)
    both = Traces.load(tmp_path / "both.safetensors")
    assert both.split == "calibration+test"
    for split in ("calibration", "test"):
        alone = Traces.load(tmp_path / f"{split}.safetensors")
        assert np.array_equal(both.select(split).logits, alone.logits)
        assert np.array_equal(both.select(split).sample, alone.sample)
    assert not list(tmp_path.glob("*.parts"))
    assert "exists already" in refused(capsys, *record)
    assert "exists already" in refused(capsys, "train", *traces, "--output", learned_file)
    # traces of another backbone
    save(build("small", num_classes=10, timesteps=3, input_shape=(1, 8, 8), width=4, seed=1), tmp_path / "other-net")
    other = tmp_path / "other.safetensors"
    seenn("record", "--backbone", tmp_path / "other-net", "--split", "test", "--output", other)
    mixed = ["compare", "--traces", other, "--output", tmp_path / "mixed"]
    test = ["compare", "--traces", tmp_path / "test.safetensors", "--output", tmp_path / "named"]
    assert "rename it" in refused(capsys, *test, "--policies", f"oracle={learned_file}")
    assert "for the backbone" in refused(capsys, *mixed, *policies)
    assert "of the backbone" in refused(capsys, *mixed, "--calibration", tmp_path / "calibration.safetensors")
    assert not (tmp_path / "mixed").exists()


def test_training_starts_from_the_weights_of_another_run(tmp_path, capsys):
    first = build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), encoding="poisson", seed=3)
    save(first, tmp_path / "first.safetensors")
    settings = (
        "--timesteps",
        3,
        "--threads",
        1,
        "--epochs",
        1,
        "--learning-rate",
        1e-12,
        "--initial",
        tmp_path / "first.safetensors",
    )
    seenn("train-backbone", "--output", tmp_path / "net", *settings)
    trained = load(tmp_path / "net" / "backbone.safetensors")
    assert trained.timesteps == 3
    torch.testing.assert_close(trained.body.conv.weight, first.body.conv.weight)
    message = refused(capsys, "train-backbone", "--output", tmp_path / "wide", "--width", 8, *settings)
    assert "first.safetensors to hold a network with options = {'width': 8}, got {}" in message


def test_norms_per_timestep_start_from_common_norms_and_from_other_timesteps(tmp_path):
    settings = {"num_classes": 5, "input_shape": (3, 8, 8), "width": 4}
    source = build("resnet9", timesteps=1, **settings)
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        source.train()(images)
    for timesteps in (3, 2, 4):
        network = build("resnet9", timesteps=timesteps, norm="tdbn-per-timestep", **settings)
        copy_weights(source, network, tmp_path)
        statistics = [value for name, value in network.state_dict().items() if "running" in name]
        assert {len(value) for value in statistics} == {timesteps}
        source.eval()
        outputs = [net.step(net.start(images))[0] for net in (network, source)]
        torch.testing.assert_close(*outputs)
        source = network
    with pytest.raises(InputError, match="tdbn-per-timestep"):
        copy_weights(source, build("resnet9", timesteps=4, **settings), tmp_path)


def test_bad_input_is_one_sentence_and_writes_nothing(tmp_path, capsys):
    traces = make_traces(20).save(tmp_path / "traces.safetensors")
    out = tmp_path / "out"
    cases = [
        (("train-backbone", "--timesteps", 0), "timesteps to be a whole number of 1 or more, got 0"),
        (("train-backbone", "--network", "huge"), "network, got 'huge'. Known:"),
        (("train-backbone", "--dataset", "moons"), "dataset, got 'moons'. Known:"),
        (("train-backbone", "--dataset", "mnist"), "where the data of 'mnist' are: pass --data-dir"),
        (("train-backbone", "--epochs", 0), "epochs to be a whole number of 1 or more, got 0"),
        (("train-backbone", "--width", 0), "width to be a whole number of 1 or more, got 0"),
        (("train-backbone", "--device", "gpu"), "the name of a device, such as cpu or cuda, got 'gpu'"),
        (("train-backbone", "--device", "cuda:99"), "a device that PyTorch finds here, got 'cuda:99'"),
        (("train-backbone", "--timesteps", 2, "--stages", 4, 1, 0.1), "stages of at most the network's 2 timesteps"),
        (("train-backbone", "--distill-weight", 0.5), "and no teacher"),
        (("record", "--backbone", tmp_path / "none.safetensors"), "found nothing at"),
        (("record", "--backbone", traces), "Expected a backbone file"),
        (("train", "--traces", tmp_path / "none.safetensors"), "found nothing at"),
        (("train", "--traces", traces, "--algorithm", "sarsa"), "algorithm, got 'sarsa'. Known:"),
        (("train", "--traces", traces, "--target-timesteps", 2), "rows of split 'calibration'"),
        (("compare", "--traces", traces, "--rules", "luck"), "rule, got 'luck'. Known: confidence"),
        (("compare", "--traces", traces, "--policies", "ppo.safetensors"), "policies as NAME=FILE"),
        (("record", "--backbone", traces, "--split", "dev"), "--split"),
        (("record", "--backbone", traces, "--split", "test", "test"), "one split or several different ones"),
        (("record",), "--backbone"),
        (("record", "--backbone", traces, "--repeats", "many"), "--repeats"),
        (("train", "--traces", traces, "--depth", 3), "--depth"),
    ]
    for arguments, message in cases:
        assert message in refused(capsys, *arguments, "--output", out), arguments
        assert not out.exists(), arguments


def test_networks_and_policies_of_other_data_are_one_sentence_and_write_nothing(tmp_path, capsys):
    def network(**other):
        settings = {"num_classes": 10, "timesteps": 2, "input_shape": (1, 8, 8), "width": 4} | other
        file = tmp_path / "networks" / ("-".join(other) + ".safetensors")
        save(build("small", **settings), file)
        return file

    classes, shape, T = network(num_classes=3), network(input_shape=(3, 8, 8)), network(timesteps=2)
    policy = agents.train("exact", make_traces(50, T=4), steps=2)
    policy = agents.save(policy, tmp_path / "networks" / "policy.safetensors")
    out, teach = tmp_path / "out", ("train-backbone", "--distill-weight", 0.5, "--teacher")
    cases = [
        (("record", "--backbone", classes), "samples of the network's 3 classes, got 10 in digits"),
        (("record", "--backbone", shape), "samples of the network's shape [3, 8, 8], got [1, 8, 8] in digits"),
        ((*teach, classes), "samples of the teacher's 3 classes, got 10 in digits"),
        ((*teach, shape), "samples of the teacher's shape [3, 8, 8], got [1, 8, 8] in digits"),
        (("classify", "--dataset", "digits", "--backbone", classes), "samples of the network's 3 classes"),
        (("classify", "--dataset", "digits", "--backbone", shape), "samples of the network's shape [3, 8, 8]"),
        (
            ("classify", "--dataset", "digits", "--backbone", T, "--policy", policy),
            "a policy for the network's 2 timesteps, got one that was made for 4",
        ),
    ]
    for arguments, message in cases:
        assert message in refused(capsys, *arguments, "--output", out), arguments
        assert [each.name for each in tmp_path.iterdir()] == ["networks"], arguments


def test_a_run_that_fails_exits_with_1_and_shows_where(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("agents.commands.record.Record.run", lambda self: 1 / 0)
    with pytest.raises(SystemExit) as stop:
        seenn("record", "--backbone", "a", "--output", tmp_path / "b")
    assert stop.value.code == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["quickstart", "train-backbone", "record", "train", "compare", "classify", "headroom"]
)
def test_every_command_has_help_seed_and_output(command, capsys):
    with pytest.raises(SystemExit) as stop:
        seenn(command, "--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "--seed" in text
    assert "--output" in text


@pytest.mark.slow
def test_quickstart_as_it_is_reaches_its_figures_in_its_time(tmp_path):
    begin = time.monotonic()
    run_python("-m", "agents.main", "quickstart", "--output", tmp_path / "quickstart")
    assert time.monotonic() - begin < 240  # 120 s on two idle cores
    for split in ("calibration", "test"):
        accuracy = Traces.load(tmp_path / "quickstart" / f"{split}.safetensors").accuracy
        assert accuracy[0] <= 0.94
        assert accuracy[-1] >= 0.97
    stored = json.loads((tmp_path / "quickstart" / "comparison" / "comparison.json").read_text())
    differences = defaultdict(list)
    for d in stored["differences"]:
        differences[tuple(d[side].split(" @")[0] for side in ("policy", "rival"))].append(d)
    ppo = "SEENN-II (sequential, PPO)"
    expected = {("confidence", "per-timestep-margin"), (ppo, "per-timestep-margin"), (ppo, "confidence")}
    assert set(differences) == expected
    assert all(len(found) == 3 for found in differences.values())
    assert all(found["high"] > -0.005 for found in differences[ppo, "per-timestep-margin"])
    assert all(found["low"] > 0 for found in differences[ppo, "confidence"])


@pytest.mark.parametrize(("command", "on"), [("train-backbone", "goes on from there"), ("headroom", "begins anew")])
def test_ctrl_c_ends_in_one_line(command, on, tmp_path, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("backbones.train", stop)
    monkeypatch.setattr("agents.comparison.headroom", stop)
    with pytest.raises(SystemExit) as stopped:
        seenn(command, *(["--output", tmp_path / "out"] if command == "train-backbone" else []))
    assert stopped.value.code == 130
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == f"seenn: stopped; the same command {on}."


def test_classify_prints_its_header_with_the_first_answer_only(tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    command = ("classify", "--backbone", "digits", "--energy-images", 0, "--inputs")
    with pytest.raises(SystemExit) as stop:
        seenn(*command, broken, tmp_path / "missing.png")
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    assert "found none at" in err
    for output in ([], ["--output", tmp_path / "answers.csv"]):
        with pytest.raises(SystemExit) as stop:
            seenn(*command, broken, *output)
        assert stop.value.code == 1
        text = (tmp_path / "answers.csv").read_text() if output else capsys.readouterr().out
        assert text.splitlines()[0] == "name,prediction,class,timesteps,confidence,problem"
        assert text.splitlines()[1].startswith(f"{broken},,,,,cannot be read")


def test_one_image_or_sample_is_no_plural(tmp_path, capsys):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "one.png")
    seenn("classify", "--backbone", "digits", "--inputs", tmp_path / "one.png", "--energy-images", 1)
    said = capsys.readouterr().err
    assert said.startswith("1 image, ")
    assert "on 1 random image (" in said
    assert make_traces(1).summary().startswith("policy: 1 sample, 1 row, T = 4")
