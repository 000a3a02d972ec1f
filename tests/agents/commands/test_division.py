"""A backbone's file records the division of its data, and commands refuse the same data divided differently."""

import pytest

import backbones as bb
from backbones.tensor_files import load_tensor_file
from tests.helpers.commands import refused, seenn

TRAINED = ("--policy-size", 200, "--calibration-size", 100)
SAID = (
    "Expected digits divided as the backbone was trained on it (seed 0, train 1000, policy 200, calibration 100, "
    "test 497), got seed {}"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The file of a network that `seenn train-backbone` trained without time."""
    folder = tmp_path_factory.mktemp("trained") / "net"
    small = ("--epochs", 1, "--width", 4, "--timesteps", 1, "--encoding", "direct", "--neuron", "qcfs")
    seenn("train-backbone", "--output", folder, *small, *TRAINED)
    return folder / "backbone.safetensors"


@pytest.fixture
def network():
    return bb.build("small", num_classes=10, timesteps=1, input_shape=(1, 8, 8), width=4)


def test_training_saves_the_division_with_the_network(trained):
    sizes = {"train": 1000, "policy": 200, "calibration": 100, "test": 497}
    assert bb.load(trained).division == {"dataset": "digits", "seed": 0, "sizes": sizes}


@pytest.mark.parametrize(
    "command",
    [
        ("record", "--output", "{}/traces.safetensors"),
        ("record", "--output", "{}/traces.safetensors", "--corruption", "contrast"),
        ("classify", "--dataset", "digits", "--output", "{}/answers.csv"),
        ("watch", "--dataset", "digits", "--output", "{}/pictures"),
        ("convert", "--output", "{}/converted.safetensors"),
    ],
)
def test_commands_refuse_another_division_and_take_the_same(command, trained, tmp_path, capsys):
    line = [*(word.format(tmp_path) for word in command), "--backbone", trained]
    assert SAID.format("0, train 700, policy 300, calibration 300, test 497:") in refused(capsys, *line)
    if command[0] != "watch":  # its seed is of something else
        assert SAID.format("1, train 1000, policy 200") in refused(capsys, *line, *TRAINED, "--seed", 1)
    assert not list(tmp_path.iterdir())
    seenn(*line, *TRAINED)
    assert list(tmp_path.iterdir())


def test_training_continues_from_weights_of_the_same_division_only(trained, tmp_path, capsys):
    line = ("train-backbone", "--initial", trained, "--output", tmp_path / "net", "--timesteps", 1, "--width", 4)
    assert SAID.format("0, train 700") in refused(capsys, *line)
    assert not list(tmp_path.iterdir())


def test_a_teacher_has_seen_no_image_that_is_held_out(trained, tmp_path, capsys):
    line = ("train-backbone", "--output", tmp_path / "net", "--epochs", 1, "--width", 4, "--timesteps", 1)
    line = (*line, "--teacher", trained, "--distill-weight", 0.5)
    assert SAID.replace("the backbone", "the teacher").format("0, train 700") in refused(capsys, *line)
    assert not list(tmp_path.iterdir())
    seenn(*line, *TRAINED)
    assert (tmp_path / "net" / "backbone.safetensors").exists()


def test_a_converted_network_keeps_the_division(trained, tmp_path):
    seenn("convert", "--backbone", trained, "--output", tmp_path / "snn.safetensors", *TRAINED)
    assert bb.load(tmp_path / "snn.safetensors").division == bb.load(trained).division


def test_files_without_a_division_load_and_are_not_checked(network, tmp_path):
    bb.save(network, tmp_path / "net.safetensors")
    _, metadata = load_tensor_file(tmp_path / "net.safetensors", kind="a backbone", format="seenn_env.backbone/2")
    assert set(metadata) == {"format", "config", "fingerprint"}
    assert bb.load(tmp_path / "net.safetensors").division is None
    output = tmp_path / "traces.safetensors"
    seenn("record", "--backbone", tmp_path / "net.safetensors", "--output", output, "--seed", 3)
    assert output.is_file()
