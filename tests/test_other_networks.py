"""Data and checkpoints of another network are refused in one sentence, before anything runs."""

from dataclasses import replace

import numpy as np
import pytest

import backbones as bb
from agents.main import main
from backbones.tensor_files import load_tensor_file, save_tensor_file
from backbones.training.loop import TrainingConfig, train
from seenn_env import record


def network(classes=10, timesteps=2, **options):
    options = {"width": 4, **options}
    return bb.build("small", num_classes=classes, timesteps=timesteps, input_shape=(1, 8, 8), **options)


@pytest.mark.parametrize("classes", [4, 12])
def test_more_or_fewer_classes_than_the_network_has_are_refused(digits, classes, tmp_path, capsys):
    said = rf"samples of the network's {classes} classes, got 10 in digits: use the dataset that it was made for"
    made = network(classes)
    with pytest.raises(bb.InputError, match=said):
        train(made, digits, TrainingConfig(epochs=1))
    with pytest.raises(bb.InputError, match=said):
        record(made, digits.policy, tmp_path / "traces.safetensors")
    bb.save(made, tmp_path / "net.safetensors")
    with pytest.raises(SystemExit) as stop:
        main(["record", "--backbone", str(tmp_path / "net.safetensors"), "--output", str(tmp_path / "out.safetensors")])
    assert stop.value.code == 2
    assert f"the network's {classes} classes, got 10 in digits" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]


def test_samples_without_names_of_classes_are_not_compared(digits):
    nameless = replace(digits.policy.select(slice(4)), class_names=())
    assert record(network(12), nameless).num_classes == 12


def test_images_of_another_shape_are_refused(digits):
    wide = replace(digits.policy, images=np.zeros((300, 3, 32, 32), np.uint8))
    with pytest.raises(bb.InputError, match=r"the network's shape \[1, 8, 8\], got \[3, 32, 32\] in digits"):
        record(network(), wide)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"width": 8}, r"network 'small' in .*: body.conv.weight is \[16, 8, 3, 3\], not \[8, 4, 3, 3\], and so on"),
        ({"neuron": "plif"}, r"body.first.w is \[\], not missing, and so on \(2 in all\): use the file"),
    ],
)
def test_the_weights_of_another_network_are_refused(other, message, tmp_path):
    bb.save(network(), tmp_path / "net.safetensors")
    _, metadata = load_tensor_file(tmp_path / "net.safetensors", kind="a backbone", format="seenn_env.backbone/1")
    save_tensor_file(tmp_path / "mixed.safetensors", network(**other).state_dict(), metadata)
    with pytest.raises(bb.InputError, match=message) as refused:
        bb.load(tmp_path / "mixed.safetensors")
    assert "\n" not in str(refused.value)


def test_a_training_of_another_network_is_not_continued(digits, tmp_path):
    def die(epoch):
        raise KeyboardInterrupt

    small = replace(digits, train=digits.train.select(slice(64)))
    with pytest.raises(KeyboardInterrupt):
        train(network(), small, TrainingConfig(epochs=2), resume=tmp_path / "run.pt", on_epoch=die)
    before = (tmp_path / "run.pt").read_bytes()
    with pytest.raises(
        bb.InputError, match=r"run.pt to hold this run, but it holds one with other settings: delete it"
    ):
        train(network(seed=1), small, TrainingConfig(epochs=2), resume=tmp_path / "run.pt")
    assert (tmp_path / "run.pt").read_bytes() == before
