"""Images are taken as uint8 or floats in [0, 1] wherever they are given; others are refused in one sentence."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import agents
import backbones as bb
import seenn_env
from backbones.adapters import wrapping
from backbones.adapters.held_state import HeldState
from backbones.contract import accuracy, run
from backbones.contract.inputs import check_images
from backbones.conversion.converter import convert
from backbones.data import SPLITS
from backbones.training.loop import TrainingConfig, train
from tests.helpers.modules import Access, Held

SHAPE = (3, 8, 8)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(256, size=(12, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def network():
    return bb.build("small", num_classes=4, timesteps=3, input_shape=SHAPE, neuron={"type": "lif", "v_threshold": 0.2})


def samples_of(images):
    labels = np.arange(len(images)) % 4
    return bb.Samples(images, labels, np.arange(len(images)), tuple("abcd"), "noise", "test")


def as_tensor(images):
    return torch.from_numpy(np.ascontiguousarray(images))


def env_of(network, images, **settings):
    return seenn_env.EarlyExitEnv(backbone=network, samples=samples_of(images), split="test", **settings)


def module():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 4)).eval()


def learn(network, images):
    parts = {split: samples_of(images) for split in SPLITS}
    train(network, bb.Splits(**parts), TrainingConfig(epochs=1))


DOORS = {
    "start": lambda network, images: network.start(as_tensor(images)),
    "optimized": lambda network, images: network.optimize(min_agreement=None).start(as_tensor(images)),
    "run": lambda network, images: list(run(network, images, np.zeros(len(images), np.int64))),
    "accuracy": lambda network, images: accuracy(network, images, np.zeros(12), np.zeros(12, np.int64)),
    "pool": lambda network, images: bb.SlotPool(network, 12).refill(range(12), images),
    "check_backbone": lambda network, images: bb.check_backbone(network, as_tensor(images)),
    "record": lambda network, images: seenn_env.record(network, samples_of(images)),
    "environment": env_of,
    "vector": lambda network, images: seenn_env.LiveVectorEnv(2, backbone=network, samples=samples_of(images)),
    "convert": lambda network, images: convert(module(), as_tensor(images)),
    "convert ReLU network": lambda network, images: convert(
        bb.build("small", num_classes=4, timesteps=1, input_shape=SHAPE, width=4, neuron="relu"), as_tensor(images)
    ),
    "train": lambda network, images: learn(
        bb.build("small", num_classes=4, timesteps=3, input_shape=SHAPE, width=4), images
    ),
}

WRONG = {
    "0…255": (lambda pixels: pixels.astype(np.float32), r"float32 from 0 to 255: divide them by 255"),
    "int64": (lambda pixels: pixels.astype(np.int64), r"got int64: pass them as uint8"),
    "bool": (lambda pixels: pixels > 127, r"got bool: multiply them by 255"),
    "normalised": (lambda pixels: pixels / np.float32(64) - 2, r"from -2 to 1.98.: pass them as they were before"),
    "NaN": (lambda pixels: np.where(pixels > 250, np.float32(np.nan), np.float32(0.5)), r"got NaN or infinity"),
    "channels last": (
        lambda pixels: pixels.transpose(0, 2, 3, 1),
        r"channels last: pass images.transpose\(0, 3, 1, 2\)",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("door", DOORS)
def test_other_images_are_one_sentence_at_every_door(door, wrong, network, pixels):
    make, message = WRONG[wrong]
    if (door, wrong) == ("convert ReLU network", "channels last"):
        message = "inputs"
    with pytest.raises(bb.InputError, match=message):
        DOORS[door](network, make(pixels))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_bytes_and_floats_of_every_width_are_taken_at_every_door(door, dtype, network, pixels):
    images = pixels if dtype == np.uint8 else (pixels / 255).astype(dtype)
    DOORS[door](network, images)


@pytest.mark.parametrize("wrong", WRONG)
def test_classify_explains_the_fault_of_each_image(wrong, network, pixels):
    make, message = WRONG[wrong]
    message = message.replace("images.transpose(0, 3, 1, 2)", "").replace(r"images.transpose\(0, 3, 1, 2\)", "")
    images = make(pixels)
    found = agents.classify(images, network, agents.Margin(0.5), num_slots=4)
    bad = {answer.place for answer in found.broken}
    assert bad
    if wrong == "NaN":
        assert bad == set(np.flatnonzero(np.isnan(images).any((1, 2, 3))))
    assert len(found.predictions) == 12


@pytest.mark.parametrize("wrong", WRONG)
def test_wrap_and_its_backbone_refuse_other_images(wrong, pixels, monkeypatch):
    module = Held()
    module.fc = nn.Linear(192, 32).eval()
    adapter = SimpleNamespace(
        default_time_axis=lambda _: None,
        make_stepper=lambda module, shown, layout: HeldState("toys", module, Access(module), layout, shown),
    )
    monkeypatch.setattr(wrapping, "_adapter", lambda _: adapter)
    make, message = WRONG[wrong]
    with pytest.raises(bb.InputError, match=message):
        wrapping.wrap(module, as_tensor(make(pixels)), 3, framework="snntorch")
    backbone = wrapping.wrap(module, as_tensor(pixels), 3, framework="snntorch", check=False)
    with pytest.raises(bb.InputError, match=message):
        backbone.start(as_tensor(make(pixels)))
    for dtype in (torch.float16, torch.float64):
        backbone.start((as_tensor(pixels) / 255).to(dtype))


def test_frames_may_be_counts_of_any_numbers():
    network = bb.build("small", num_classes=4, timesteps=3, input_shape=(2, 8, 8), width=4, encoding="event")
    counts = np.random.default_rng(0).poisson(2, size=(12, 3, 2, 8, 8))
    expected = seenn_env.record(network, samples_of(counts.astype(np.uint8))).logits
    for dtype in (np.int64, np.int16, np.float32):
        assert np.array_equal(seenn_env.record(network, samples_of(counts.astype(dtype))).logits, expected)
    found = agents.classify(counts.astype(np.int64), network, agents.Margin(0.5), num_slots=4)
    assert not found.broken
    with pytest.raises(bb.InputError, match="NaN"):
        seenn_env.record(network, samples_of(np.full((12, 3, 2, 8, 8), np.nan, np.float32)))


def test_vectors_shown_as_they_are_may_be_any_finite_floats():
    check_images(torch.randn(8, 20))
    with pytest.raises(bb.InputError, match="NaN"):
        check_images(torch.full((8, 20), torch.nan))


def test_a_refill_checks_the_dtype(network, pixels):
    state = network.start(as_tensor(pixels))
    with pytest.raises(bb.InputError, match="got int64"):
        network.refill(state, torch.tensor([0]), as_tensor(pixels[:1]).long())


def test_floats_of_all_widths_give_the_same_answers(network, pixels):
    whole = network.step(network.start(as_tensor(pixels / np.float32(255))))[0]
    assert torch.equal(network.step(network.start(as_tensor((pixels / np.float32(255)).astype(np.float64))))[0], whole)
