"""The class names of a folder reach the answers of `classify`."""

import numpy as np
import pytest
from PIL import Image

import agents
import backbones as bb
from agents.main import main
from backbones.training.loop import TrainingConfig, train


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
