"""`seenn convert`: from a network without time to traces, and its errors."""

import pytest

import backbones as bb
from tests.helpers.commands import refused, seenn

SHORT = ("train-backbone", "--epochs", 1, "--timesteps", 1, "--encoding", "direct", "--width", 4, "--loss", "mean")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Networks without time by the name of their activation."""
    folder = tmp_path_factory.mktemp("ann")
    seenn(*SHORT, "--neuron", "qcfs", "--levels", 8, "--output", folder / "qcfs")
    seenn(*SHORT, "--neuron", "relu", "--output", folder / "relu")
    return {name: folder / name / "backbone.safetensors" for name in ("qcfs", "relu")}


def test_a_qcfs_network_is_trained_converted_compared_and_recorded(trained, tmp_path, capsys):
    file = tmp_path / "snn.safetensors"
    convert = ("convert", "--backbone", trained["qcfs"], "--output", file, "--timesteps", 6)
    seenn(*convert)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("accuracy % on calibration, without time: ")
    assert lines[1].startswith("accuracy % on calibration, converted: t=1 ")
    assert "t=6 " in lines[1]
    assert lines[2].startswith("converted at t=6 - without time: ")
    ann, network = bb.load(trained["qcfs"]), bb.load(file)
    assert ann.body.first.levels == 8
    assert network.timesteps == 6
    assert network.body.first.v_threshold == ann.body.first.threshold.item()
    assert "exists already" in refused(capsys, *convert)
    seenn(*convert, "--overwrite", "--dataset", "none")
    assert capsys.readouterr().out.splitlines() == [f"backbone: {file}"]
    seenn("record", "--backbone", file, "--split", "calibration", "--output", tmp_path / "traces.safetensors")


def test_a_relu_network_takes_its_thresholds_from_training_images(trained, tmp_path):
    convert = ("convert", "--backbone", trained["relu"], "--timesteps", 2, "--images", 50)
    for name, options in {
        "max": ("--method", "max"),
        "low": ("--percentile", 50),
        "again": ("--method", "max"),
    }.items():
        seenn(*convert, *options, "--output", tmp_path / name)
    low, high, again = (bb.load(tmp_path / name) for name in ("low", "max", "again"))
    assert low.body.second.v_threshold < high.body.second.v_threshold
    assert again.fingerprint == high.fingerprint


def test_bad_input_of_convert_is_one_sentence_and_writes_nothing(trained, tmp_path, capsys):
    spiking, out = tmp_path / "spiking.safetensors", tmp_path / "out"
    bb.save(bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8)), spiking)
    cases = [
        ((tmp_path / "none.safetensors",), "found nothing at"),
        ((spiking,), "got one that spikes: body.first is LIF"),
        ((trained["qcfs"], "--timesteps", 0), "timesteps to be a whole number of 1 or more"),
        ((trained["qcfs"], "--method", "max"), "no --method for a QCFS network"),
        ((trained["relu"], "--method", "luck"), "--method"),
        ((trained["relu"], "--percentile", 0), "percentile to be a number above 0 and of 100 or less"),
        ((trained["relu"], "--images", 0), "images to be a whole number of 1 or more, got 0"),
        ((trained["relu"], "--dataset", "none"), "got none"),
        ((trained["relu"], "--dataset", "letters"), "dataset, got 'letters'"),
    ]
    for (file, *options), message in cases:
        assert message in refused(capsys, "convert", "--backbone", file, *options, "--output", out), options
        assert not out.exists(), options
    with pytest.raises(SystemExit) as stop:
        seenn("convert", "--help")
    assert stop.value.code == 0
    assert "--seed" in capsys.readouterr().out
    levels = ("train-backbone", "--neuron", "lif", "--levels", 4, "--output", out)
    assert "argument of LIF, got 'levels'" in refused(capsys, *levels)
