"""A network's file: the same network again, its fingerprint, division and class names; other files are refused."""

from pathlib import Path

import pytest
import torch

import backbones as bb
from backbones.conversion.converter import convert
from backbones.networks import SpikingNetwork
from backbones.tensor_files import load_tensor_file, save_tensor_file
from seenn_env import Traces


def make(**settings) -> SpikingNetwork:
    settings = {
        "encoding": "poisson",
        "num_classes": 10,
        "timesteps": 4,
        "input_shape": (1, 8, 8),
        "width": 4,
        **settings,
    }
    return bb.build("small", **settings)


def test_the_fingerprint_covers_weights_neurons_timesteps_encoding_and_its_seed():
    changed = [
        make(),
        make(neuron={"type": "lif", "decay": 0.6}),
        make(timesteps=5),
        make(encoding="direct"),
        make(encoding_seed=1),
    ]
    touched = make()
    with torch.no_grad():
        next(touched.parameters()).view(-1)[0] += 1e-3
    prints = {network.fingerprint for network in [*changed, touched]}
    assert len(prints) == 6


def test_a_saved_network_comes_back_the_same(tmp_path):
    network = make(mean=[0.3], neuron={"type": "lif", "decay": 0.7})
    bb.save(network, tmp_path / "a.safetensors")
    again = bb.load(tmp_path / "a.safetensors")
    assert again.fingerprint == network.fingerprint
    images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(images), network(images))
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("name", ["digits", Path("digits")])
def test_a_packaged_backbone_is_loaded_by_its_name(name):
    assert bb.load(name).fingerprint == Traces.load("digits").info["fingerprint"]


def test_an_unknown_name_is_refused_with_the_packaged_ones():
    with pytest.raises(bb.InputError, match=r"known backbone \(or a file\), got 'letters'. Known: digits."):
        bb.load("letters")


def test_missing_cut_and_altered_files_are_refused(tmp_path):
    file = tmp_path / "a.safetensors"
    with pytest.raises(bb.InputError, match="found nothing at"):
        bb.load(file)
    bb.save(make(), file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(bb.InputError, match="is not whole"):
        bb.load(file)
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(bb.InputError, match="does not match its digest"):
        bb.load(file)


def test_a_division_changes_no_fingerprint_and_stays_when_saved_again(digits, tmp_path):
    network = make()
    before = network.fingerprint
    bb.save(network, tmp_path / "with", division=digits.division)
    loaded = bb.load(tmp_path / "with")
    assert loaded.fingerprint == before
    bb.save(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "with").read_bytes()


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


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"width": 8}, r"network 'small' in .*: body.conv.weight is \[16, 8, 3, 3\], not \[8, 4, 3, 3\], and so on"),
        ({"neuron": "plif"}, r"body.first.w is \[\], not missing, and so on \(2 in all\): use the file"),
    ],
)
def test_the_weights_of_another_network_are_refused(other, message, tmp_path):
    bb.save(make(timesteps=2), tmp_path / "net.safetensors")
    _, metadata = load_tensor_file(tmp_path / "net.safetensors", kind="a backbone", format="seenn_env.backbone/2")
    save_tensor_file(tmp_path / "mixed.safetensors", make(timesteps=2, **other).state_dict(), metadata)
    with pytest.raises(bb.InputError, match=message) as refused:
        bb.load(tmp_path / "mixed.safetensors")
    assert "\n" not in str(refused.value)
