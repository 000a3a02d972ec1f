"""Samples that a network was not made for are refused in one sentence wherever they are given, before anything runs."""

from dataclasses import replace

import numpy as np
import pytest

import backbones as bb
import seenn_env
from agents.main import main
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


def test_classes_in_another_order_are_refused(digits):
    made = network()
    made.class_names = tuple(reversed(digits.test.class_names))
    some = digits.test.select(np.arange(4))
    for run in (
        lambda: seenn_env.record(made, some),
        lambda: seenn_env.EarlyExitEnv(backbone=made, samples=some),
    ):
        with pytest.raises(
            bb.InputError, match="classes of digits in the order of the network's, got '0' for its class 0"
        ):
            run()
    made.class_names = tuple("abcdefghij")  # names of their own are nobody's business
    seenn_env.record(made, some)
