"""Commands replace only their own files, and the old result stands until the new one does."""

import json
import os
import re

import pytest
import torch
from PIL import Image

import backbones as bb
from backbones import InputError
from backbones.atomic import sole_writer
from backbones.training.loop import TrainingConfig, train
from tests.helpers.commands import refused, seenn
from tests.helpers.recorded import small_backbone
from tests.helpers.traces import make_traces

SHORT = ("--epochs", 1, "--timesteps", 2, "--width", 4, "--threads", 1)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def net(tmp_path):
    folder = tmp_path / "net"
    seenn("train-backbone", "--output", folder, *SHORT)
    (folder / "notes.txt").write_text("mine")
    (folder / "tensorboard" / "notes.txt").write_text("mine too")
    return folder


def test_refused_arguments_keep_the_old_result(net, capsys):
    before = contents(net)
    for wrong in (("--distill-weight", 0.5), ("--stages", 4, 1, 0.1), ("--network", "huge"), ("--dataset", "moons")):
        refused(capsys, "train-backbone", "--output", net, *SHORT, *wrong, "--overwrite")
        assert contents(net) == before, wrong


def test_a_run_that_diverges_is_one_sentence_and_keeps_the_old_result(net, capsys):
    before = contents(net)
    with pytest.raises(SystemExit) as stop:
        seenn("train-backbone", "--output", net, *SHORT, "--learning-rate", 1e30, "--overwrite")
    assert stop.value.code == 1
    assert re.fullmatch(r"seenn: The loss is \S+ in epoch 1: lower the learning rate\.\n", capsys.readouterr().err)
    assert contents(net) == before


def test_a_run_that_fails_keeps_the_old_result_and_is_continued(net, monkeypatch):
    before = (net / "backbone.safetensors").read_bytes()
    again = ("train-backbone", "--output", net, *SHORT, "--seed", 5, "--overwrite")
    with monkeypatch.context() as patch:
        patch.setattr(bb, "save", lambda *_, **__: 1 / 0)  # a full disk
        with pytest.raises(SystemExit):
            seenn(*again)
    assert (net / "backbone.safetensors").read_bytes() == before
    assert list(net.rglob("training.pt"))  # nothing of the training is lost
    with monkeypatch.context() as patch:
        patch.setattr("backbones.training.loop.run_epoch", lambda *_, **__: 1 / 0)  # it does not train again
        seenn(*again)
    assert (net / "backbone.safetensors").read_bytes() != before
    assert not list(net.rglob("training.pt"))


def test_a_state_without_settings_is_not_continued(net):
    again = ("train-backbone", "--output", net, *SHORT, "--overwrite")
    seenn(*again)
    expected = {path.name: path.stat().st_size for path in net.rglob("events*")}
    (net / ".new").mkdir()
    (net / ".new" / "training.pt").write_bytes(b"left by a loss of power")
    seenn(*again)
    assert list(expected.values()) == [path.stat().st_size for path in net.rglob("events*")]
    assert not (net / ".new").exists()


def test_only_files_that_the_command_made_are_replaced(net):
    old_events = set(net.glob("tensorboard/events*"))
    seenn("train-backbone", "--output", net, *SHORT, "--seed", 5, "--overwrite")
    assert (net / "notes.txt").read_text() == "mine"
    assert (net / "tensorboard" / "notes.txt").read_text() == "mine too"
    names = {path.name for path in net.iterdir()}
    assert names == {"backbone.safetensors", "complete", "notes.txt", "settings.json", "tensorboard"}
    new_events = set(net.glob("tensorboard/events*"))
    assert new_events
    assert not new_events & old_events
    assert json.loads((net / "settings.json").read_text())["training"]["seed"] == 5


def test_a_replacement_that_was_cut_off_is_finished(net, monkeypatch):
    before = (net / "backbone.safetensors").read_bytes()
    again = ("train-backbone", "--output", net, *SHORT, "--seed", 5, "--overwrite")
    with monkeypatch.context() as patch:
        patch.setattr("agents.commands.output.ResultFolder._replace", lambda _: 1 / 0)
        with pytest.raises(SystemExit):
            seenn(*again)
    assert (net / "backbone.safetensors").read_bytes() == before
    with pytest.raises(SystemExit):
        seenn(*again[:-1])  # it is complete now
    assert (net / "backbone.safetensors").read_bytes() != before
    assert not (net / ".new").exists()


def test_another_commands_result_is_never_replaced(net, tmp_path, capsys):
    before = contents(net)
    traces = make_traces(20).save(tmp_path / "traces.safetensors")
    message = refused(capsys, "compare", "--traces", traces, "--output", net, "--overwrite")
    assert "holds a result of another command (train-backbone)" in message
    assert contents(net) == before


def test_inputs_of_a_command_are_never_its_output(net, tmp_path, capsys):
    backbone, traces = net / "backbone.safetensors", make_traces(20).save(tmp_path / "traces.safetensors")
    cases = [
        ("train-backbone", "--initial", backbone, "--output", net, *SHORT),
        ("record", "--backbone", backbone, "--output", backbone),
        ("convert", "--backbone", backbone, "--output", backbone),
        ("train", "--traces", traces, "--output", traces),
        ("headroom", "--traces", traces, "--output", traces),
        ("classify", "--backbone", backbone, "--dataset", "digits", "--output", backbone),
    ]
    before = contents(tmp_path)
    for arguments in cases:
        assert "is an input of this command" in refused(capsys, *arguments, "--overwrite"), arguments
        assert contents(tmp_path) == before, arguments


def test_traces_in_the_folder_of_their_comparison_stay(tmp_path, capsys):
    folder = tmp_path / "comparison"
    traces = make_traces(40).save(tmp_path / "traces.safetensors")
    seenn("compare", "--traces", traces, "--output", folder)
    moved = traces.rename(folder / "traces.safetensors")
    seenn("compare", "--traces", moved, "--output", folder, "--overwrite")
    assert moved.is_file()
    assert (folder / "comparison.json").is_file()
    assert not (folder / ".new").exists()


def test_an_output_that_cannot_be_written_is_found_before_the_work(net, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    traces, backbone = make_traces(20).save(tmp_path / "traces.safetensors"), net / "backbone.safetensors"
    monkeypatch.setattr("agents.train", lambda *_, **__: 1 / 0)
    monkeypatch.setattr("agents.commands.record.Record._record", lambda *_, **__: 1 / 0)
    monkeypatch.setattr("backbones.train", lambda *_, **__: 1 / 0)
    for command in (("train", "--traces", traces), ("record", "--backbone", backbone), ("train-backbone", *SHORT)):
        for place in (tmp_path / "file" / "out", tmp_path / "file" / "deeper" / "out", tmp_path / ("x" * 300)):
            assert "an output that can be written" in refused(capsys, *command, "--output", place)
    assert "got the folder" in refused(capsys, "train", "--traces", traces, "--output", tmp_path)
    log = ("train", "--traces", traces, "--output", tmp_path / "out", "--log-dir", tmp_path / "file" / "log")
    assert "an output that can be written" in refused(capsys, *log)


def test_the_state_of_a_run_stays_until_its_network_is_saved(tmp_path):
    def network():
        return bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=4)

    splits, file = bb.load_dataset("digits"), tmp_path / "training.pt"
    one, other = network(), network()
    train(one, splits, TrainingConfig(epochs=1), resume=file)
    assert file.exists()
    train(other, splits, TrainingConfig(epochs=1), resume=file)
    assert other.fingerprint == one.fingerprint


def test_threads_of_a_training_are_set_back(tmp_path):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        seenn("train-backbone", "--output", tmp_path / "net", *SHORT)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_folder_beside_a_recording_that_is_none_of_ours_keeps_its_files(tmp_path):
    partial = tmp_path / "traces.safetensors.partial"
    partial.mkdir()
    for name in ("notes.txt", "notes.rows"):
        (partial / name).write_text("mine")
    network = bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=4)
    bb.save(network, tmp_path / "net.safetensors")
    seenn("record", "--backbone", tmp_path / "net.safetensors", "--output", tmp_path / "traces.safetensors")
    assert {path.name for path in partial.iterdir()} == {"notes.txt", "notes.rows"}


@pytest.mark.parametrize("settings", [b"\xff\xfe", b"[" * 100_000, b"[1]", b'"command"'])
def test_settings_that_are_none_are_of_another_command(settings, net, capsys):
    (net / "settings.json").write_bytes(settings)
    before = contents(net)
    assert "another command (unknown)" in refused(capsys, "train-backbone", *SHORT, "--output", net, "--overwrite")
    assert contents(net) == before


def test_a_list_of_files_that_is_none_moves_nothing(net):
    (net / ".new").mkdir()
    (net / ".new" / "complete").write_bytes(b"\xff\xfe\n" + b"0" * 64 + b"  ../mine.txt\n")
    (net.parent / "mine.txt").write_text("mine")
    seenn("train-backbone", *SHORT, "--output", net, "--overwrite")
    assert (net.parent / "mine.txt").read_text() == "mine"
    assert (net / "backbone.safetensors").is_file()


@pytest.mark.parametrize(
    ("name", "message"), [("\udcff", "a name in UTF-8"), ("a\0b", "to be a Path"), ("", "not a result of this program")]
)
def test_names_in_which_no_result_can_be_are_one_sentence(name, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").touch()
    assert message in refused(capsys, "train-backbone", *SHORT, "--output", name)
    if name == "":
        assert "got the folder" in refused(capsys, "headroom", "--output", name)


def test_own_files_with_names_like_the_command_s_stay(net):
    mine = [net / "tensorboard" / name for name in ("events.out.tfevents.mine", "old/events.out.tfevents.1")]
    for file in mine:
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    seenn("train-backbone", "--output", net, *SHORT, "--seed", 5, "--overwrite")
    assert [file.read_text() for file in mine] == ["mine", "mine"]


@pytest.mark.parametrize("name", ["tensorboard", ".new"])
def test_a_link_to_a_folder_in_the_output_is_refused(name, net, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    for file in ("settings.json", "complete", "events.out.tfevents.0", "backbone.safetensors"):
        (other / file).write_text("mine")
    if (net / name).exists():
        (net / name).rename(tmp_path / "moved")
    (net / name).symlink_to(other)
    before = contents(tmp_path)
    assert "without links to other folders" in refused(
        capsys, "train-backbone", "--output", net, *SHORT, "--seed", 5, "--overwrite"
    )
    assert contents(tmp_path) == before


@pytest.mark.parametrize("splits", [["policy"], ["policy", "test"]])
def test_a_link_in_the_place_of_an_unfinished_recording_is_refused(splits, tmp_path, capsys):
    other, folder = tmp_path / "other", tmp_path / ("t.st.parts" if len(splits) > 1 else "t.st.partial")
    other.mkdir()
    for file in ("settings.json", "logits.rows", "a.safetensors"):
        (other / file).write_text("mine")
    words = ("record", "--backbone", "digits", "--output", tmp_path / "t.st", "--split", *splits, "--overwrite")
    for make in (lambda: folder.symlink_to(other), lambda: folder.write_text("mine")):
        make()
        assert "got a link or a file: move it away" in refused(capsys, *words)
        folder.unlink()
    assert set(contents(tmp_path).values()) == {b"mine"}


def test_own_files_beside_the_parts_of_a_recording_stay(tmp_path):
    bb.save(small_backbone(), tmp_path / "net")
    mine = [tmp_path / "t.st.parts" / name for name in ("a.safetensors", "b.safetensors.partial/notes")]
    for file in mine:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    seenn("record", "--backbone", tmp_path / "net", "--output", tmp_path / "t.st", "--split", "policy", "test")
    assert (tmp_path / "t.st").is_file()
    assert {path for path in (tmp_path / "t.st.parts").rglob("*") if path.is_file()} == set(mine)


def test_an_own_file_with_the_name_of_a_lock_stays(tmp_path):
    (tmp_path / ".figures.json.lock").write_text("mine")
    make_traces(40).save(tmp_path / "t")
    seenn("train", "--traces", tmp_path / "t", "--algorithm", "exact", "--output", tmp_path / "figures.json")
    assert (tmp_path / ".figures.json.lock").read_text() == "mine"


def test_a_folder_and_a_link_to_it_are_one_output(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "link").symlink_to("net")
    with (
        sole_writer(tmp_path / "net"),
        pytest.raises(InputError, match="Another process"),
        sole_writer(tmp_path / "link"),
    ):
        pass


@pytest.mark.parametrize(("output", "log"), [("a", "a"), ("a", "a/log"), ("l/exact-seed0", "l"), ("l/reference", "l")])
def test_an_output_where_tensorboard_s_folders_will_be_is_refused(output, log, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_traces(40).save("t")
    words = ("train", "--traces", "t", "--algorithm", "exact", "--output", output, "--log-dir", log)
    assert "beside TensorBoard's folders" in refused(capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_pipe_in_the_place_of_a_run_s_mark_is_refused(tmp_path, capsys):
    make_traces(40).save(tmp_path / "t")
    (tmp_path / "log").mkdir()
    os.mkfifo(tmp_path / "log" / ".exact-seed0.unfinished")
    words = ("train", "--traces", tmp_path / "t", "--algorithm", "exact", "--output", tmp_path / "p")
    assert "a pipe or a device" in refused(capsys, *words, "--log-dir", tmp_path / "log")


@pytest.mark.parametrize("layout", ["", "train"])
def test_outputs_among_the_classes_of_the_images_are_refused(layout, tmp_path, capsys):
    for number in range(20):
        for part in (layout, "test") if layout else ("",):
            for name in ("cat", "dog"):
                (tmp_path / "pets" / part / name).mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), number).save(tmp_path / "pets" / part / name / f"{number}.png")
    images = ("--dataset", "folder", "--data-dir", tmp_path / "pets")
    network = bb.build("small", num_classes=2, timesteps=2, input_shape=(1, 8, 8), width=4)
    bb.save(network, tmp_path / "net.safetensors")
    for words in (
        ("train-backbone", *SHORT),
        ("record", "--backbone", tmp_path / "net.safetensors"),
        ("watch", "--backbone", tmp_path / "net.safetensors"),
    ):
        assert "outside of the images" in refused(capsys, *words, *images, "--output", tmp_path / "pets" / layout / "o")
    if layout:
        seenn("train-backbone", *SHORT, *images, "--output", tmp_path / "pets" / "runs")
