"""Samples of one's own: tensors, no index, and what does not fit; names of classes on their way to an answer."""

import numpy as np
import pytest
import torch
from PIL import Image

import agents
import backbones as bb
import seenn_env
from agents.main import main
from backbones.conversion.converter import convert
from backbones.training.loop import TrainingConfig, train

GIVEN = {
    "images": np.zeros((6, 1, 8, 8), np.uint8),
    "labels": np.arange(6) % 3,
    "index": np.arange(6),
    "class_names": ("a", "b", "c"),
    "dataset": "mine",
    "split": "test",
}


def test_tensors_and_no_index_are_taken():
    samples = bb.Samples(
        **{
            **GIVEN,
            "images": torch.zeros(6, 1, 8, 8),
            "labels": torch.arange(6) % 3,
            "index": None,
            "class_names": list("abc"),
        }
    )
    assert isinstance(samples.images, np.ndarray)
    assert samples.labels.dtype == samples.index.dtype == np.int64
    assert samples.index.tolist() == list(range(6))
    assert samples.class_names == ("a", "b", "c")
    assert samples.select(slice(1, 3)).index.tolist() == [1, 2]
    network = bb.build("small", num_classes=3, timesteps=2, input_shape=(1, 8, 8), width=4)
    assert len(seenn_env.record(network, samples)) == 6
    assert len(agents.classify(samples, network, agents.Margin(0.5), num_slots=2).predictions) == 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": np.zeros(5)}, r"labels \[6\] of whole numbers, one for each image, got \[5\]"),
        ({"labels": np.full(6, 0.5)}, r"labels \[6\] of whole numbers"),
        ({"labels": np.full(6, np.nan)}, r"labels \[6\] of whole numbers"),
        ({"labels": None}, "labels of samples as an array"),
        ({"labels": list("abcabc")}, "labels of samples as an array or a tensor of numbers"),
        ({"labels": np.full(6, 3)}, "labels in 0…2, got 3 to 3"),
        ({"labels": np.full(6, -1)}, "labels in 0…2, got -1 to -1"),
        ({"index": np.zeros((6, 1), int)}, r"index \[6\] of whole numbers, one for each image, got \[6, 1\]"),
        ({"index": "abc"}, "index of samples as an array"),
        ({"images": None}, "images of samples as an array"),
        ({"images": "photos"}, "images of samples as an array"),
        ({"images": [np.zeros(3), np.zeros(4)]}, "images of samples as an array"),
        ({"images": 3}, r"images \[N, …\] of samples, got \[\]"),
        ({"class_names": 3}, "class_names as a tuple"),
        ({"class_names": "abc"}, "class_names as a tuple"),
        ({"split": "dev"}, "split, got 'dev'. Known: calibration, policy, test, train"),
        ({"split": None}, "split, got None"),
    ],
)
def test_what_does_not_fit_is_one_sentence(wrong, message):
    with pytest.raises(bb.InputError, match=message):
        bb.Samples(**{**GIVEN, **wrong})


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Digits as files, in folders by their words: sorted, zero is the last."""
    digits, root = bb.load_dataset("digits"), tmp_path_factory.mktemp("tree")
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    for row, (image, label) in enumerate(zip(digits.train.images, digits.train.labels, strict=True)):
        folder = root / words[label]
        folder.mkdir(exist_ok=True)
        Image.fromarray(image[0]).save(folder / f"{row:04}.png")
    return root


def test_names_of_a_folder_s_classes_go_all_the_way_to_classify(tree, tmp_path, capsys):
    splits = bb.load_dataset("folder", tree, cache_dir=tmp_path)
    network = bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=16)
    train(network, splits, TrainingConfig(epochs=5))
    assert network.class_names == splits.train.class_names
    before = network.fingerprint
    file = tmp_path / "net.safetensors"
    bb.save(network, file)
    loaded = bb.load(file)
    assert loaded.class_names == ("eight", "five", "four", "nine", "one", "seven", "six", "three", "two", "zero")
    assert loaded.fingerprint == before
    assert loaded.optimize(min_agreement=None).class_names == loaded.class_names
    found = agents.classify(tree / "zero", loaded, agents.Margin(0.9), num_slots=16)
    named = np.array(found.class_names)[found.predictions]
    assert (named == "zero").mean() > 0.8
    main(["classify", "--backbone", str(file), "--inputs", str(tree / "zero"), "--policy", "margin"])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert np.mean([line.split(",")[2] == "zero" for line in lines]) > 0.8


def test_classes_in_another_order_are_refused(tree, tmp_path, digits):
    network = bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=4)
    network.class_names = tuple(reversed(digits.test.class_names))
    some = digits.test.select(np.arange(4))
    for run in (
        lambda: seenn_env.record(network, some),
        lambda: seenn_env.EarlyExitEnv(backbone=network, samples=some),
    ):
        with pytest.raises(
            bb.InputError, match="classes of digits in the order of the network's, got '0' for its class 0"
        ):
            run()
    network.class_names = tuple("abcdefghij")  # names of their own are nobody's business
    seenn_env.record(network, some)


def test_names_are_checked_saved_and_converted(tmp_path):
    network = bb.build("small", num_classes=3, timesteps=1, input_shape=(1, 8, 8), width=4, neuron="relu")
    with pytest.raises(bb.InputError, match="names of the network's 3 classes, got 2"):
        bb.save(network, tmp_path / "a", class_names=("a", "b"))
    bb.save(network, tmp_path / "a", class_names=("a", "b", "c"))
    loaded = bb.load(tmp_path / "a")
    assert loaded.class_names == ("a", "b", "c")
    assert convert(loaded, torch.rand(4, 1, 8, 8), timesteps=2).class_names == ("a", "b", "c")
    bb.save(network, tmp_path / "b")
    assert bb.load(tmp_path / "b").class_names == ()


@pytest.mark.parametrize(("command", "on"), [("train-backbone", "goes on from there"), ("headroom", "begins anew")])
def test_ctrl_c_ends_in_one_line(command, on, tmp_path, capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("backbones.train", stop)
    monkeypatch.setattr("agents.comparison.headroom", stop)
    with pytest.raises(SystemExit) as stopped:
        main([command, *(["--output", str(tmp_path / "out")] if command == "train-backbone" else [])])
    assert stopped.value.code == 130
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line == f"seenn: stopped; the same command {on}."
