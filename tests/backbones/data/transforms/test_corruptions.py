"""Corruptions are a pure function of the sample and the severity, in any batch and order."""

import numpy as np
import pytest
import torch

import backbones as bb
from agents.main import main
from backbones.contract import make_keys, run
from backbones.data.transforms.corruptions import CORRUPTIONS, corrupt
from seenn_env import Traces


@pytest.fixture(scope="module")
def pictures() -> bb.Samples:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (6, 3, 4, 4), dtype=np.uint8)
    images = np.kron(small, np.ones((1, 1, 8, 8), np.uint8))
    return bb.Samples(images, np.arange(6), np.arange(10, 16), tuple("abcdef"), "squares", "test")


def distance(a: bb.Samples, b: bb.Samples) -> float:
    return float(np.abs(a.images.astype(int) - b.images).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severity_moves_images_further_and_keeps_the_rest(pictures, name):
    found = [corrupt(pictures, name, severity) for severity in (1, 3, 5)]
    distances = [distance(pictures, each) for each in found]
    assert 0 < distances[0] < distances[1] < distances[2]
    for each in found:
        np.testing.assert_array_equal(each.labels, pictures.labels)
        np.testing.assert_array_equal(each.index, pictures.index)
    assert found[1].dataset == f"squares+{name}-3"
    assert found[1].split == "test"


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_is_corrupted_alike_in_any_company(pictures, name):
    whole = corrupt(pictures, name, 4)
    rows = np.array([5, 2])
    np.testing.assert_array_equal(corrupt(pictures.select(rows), name, 4).images, whole.images[rows])


def test_noise_has_its_deviation_and_depends_on_the_seed():
    grey = bb.Samples(np.full((50, 3, 32, 32), 128, np.uint8), np.zeros(50), np.arange(50), ("a",), "grey", "test")
    noisy = corrupt(grey, "gaussian-noise", 5)
    assert noisy.images.std() / 255 == pytest.approx(0.10, rel=0.02)
    assert (corrupt(grey, "gaussian-noise", 5, seed=1).images != noisy.images).mean() > 0.9


def test_contrast_and_brightness_by_hand():
    image = np.array([[[[0, 100], [100, 200]]]], np.uint8)
    one = bb.Samples(image, np.zeros(1), np.zeros(1), ("a",), "hand", "test")
    np.testing.assert_array_equal(corrupt(one, "contrast", 2).images[0, 0], [[50, 100], [100, 150]])
    np.testing.assert_array_equal(
        corrupt(one, "brightness", 2).images[0, 0], np.round(np.array([[0, 100], [100, 200]]) + 25.5)
    )


def test_a_record_command_takes_a_corruption(tmp_path, capsys):
    network = bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), encoding="poisson", width=4)
    bb.save(network, tmp_path / "net.safetensors")
    files = [tmp_path / "plain.safetensors", tmp_path / "shifted.safetensors"]
    settings = ["record", "--backbone", str(tmp_path / "net.safetensors"), "--split", "test", "--dtype", "float32"]
    main([*settings, "--output", str(files[0])])
    main([*settings, "--output", str(files[1]), "--corruption", "contrast", "--severity", "5"])
    plain, shifted = (Traces.load(file) for file in files)
    assert shifted.info["dataset"] == "digits+contrast-5"
    np.testing.assert_array_equal(plain.sample, shifted.sample)
    test = corrupt(bb.load_dataset("digits").test, "contrast", 5)
    _, logits = next(run(network, test.images, make_keys(test.index), batch_size=256))
    torch.testing.assert_close(torch.from_numpy(np.array(shifted.logits[:256])), logits)
    with pytest.raises(SystemExit):
        main([*settings, "--output", str(tmp_path / "x"), "--corruption", "fog"])
    assert "corruption, got 'fog'. Known: " in capsys.readouterr().err


def test_bad_arguments_are_one_sentence(pictures):
    with pytest.raises(bb.InputError, match="severity to be a whole number of 1 or more and of 5 or less, got 6"):
        corrupt(pictures, "jpeg", 6)
    with pytest.raises(bb.InputError, match="corruption, got 'rain'"):
        corrupt(pictures, "rain", 1)
    floats = bb.Samples(np.zeros((1, 3, 4, 4)), np.zeros(1), np.zeros(1), ("a",), "floats", "test")
    with pytest.raises(bb.InputError, match=r"in 1 or 3 channels to corrupt, got float64 \[1, 3, 4, 4\]"):
        corrupt(floats, "jpeg", 1)
