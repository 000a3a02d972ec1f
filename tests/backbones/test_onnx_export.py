"""The ONNX files of a network compute its logits, or are refused."""

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import backbones as bb
from backbones.conversion.converter import convert
from backbones.networks import SpikingNetwork
from backbones.onnx_export import check_files, export_network, network_files, runner
from tests.helpers.programs import needs_onnx

pytestmark = needs_onnx


def converted(*pools: nn.Module) -> SpikingNetwork:
    torch.manual_seed(1)
    layers = [part for pool in pools for part in (nn.Conv2d(7, 7, 3, padding=1), nn.ReLU(), pool)]
    module = nn.Sequential(nn.Conv2d(3, 7, 3), nn.ReLU(), *layers, nn.Flatten(), nn.LazyLinear(5))
    images = torch.randint(256, (8, 3, 19, 15), dtype=torch.uint8)
    module(images / 255)
    return convert(module.eval(), images, timesteps=3)


@pytest.fixture(scope="module")
def of_pools() -> SpikingNetwork:
    """A network of average pools with many settings, and channels of odd numbers."""
    return converted(
        nn.AvgPool2d(3, 2),
        nn.AvgPool2d(3, 1, padding=1, ceil_mode=True),
        nn.AvgPool2d((3, 2), (2, 2), padding=(1, 0), ceil_mode=True, count_include_pad=False),
        nn.AvgPool2d(3, 3, ceil_mode=True),
    )


def test_a_setting_that_the_exporter_drops_is_refused():
    with pytest.raises(bb.InputError, match="one of its layers is exported wrongly, put another in its place"):
        network_files(converted(nn.AvgPool2d(3, 2, divisor_override=4)), 4)


@pytest.fixture(scope="module")
def folder_of_pools(of_pools, tmp_path_factory) -> Path:
    return export_network(of_pools, tmp_path_factory.mktemp("pools") / "out", num_slots=4)


def models(folder: Path):
    return [runner((folder / f"{name}.onnx").read_bytes()) for name in ("start", "step")]


def test_pools_are_exported_with_their_settings(of_pools, folder_of_pools):
    files = {path.name for path in folder_of_pools.iterdir()}
    assert files == {"network.json", "start.onnx", "step.onnx"}
    assert json.loads((folder_of_pools / "network.json").read_text())["fingerprint"] == of_pools.fingerprint
    start, step = models(folder_of_pools)
    images = torch.rand(4, 3, 19, 15, generator=torch.Generator().manual_seed(0))
    state = of_pools.start(images)
    _, shapes = of_pools.step(state)
    values = {name: getattr(state, name) for name in ("keys", "timestep", "readout")}
    values |= {f"membrane_{layer}": torch.zeros_like(v) for layer, v in enumerate(shapes.membranes)}
    values |= {"source": start({"images": images})[0], "fresh": torch.ones(4, dtype=torch.bool)}
    for _ in range(3):
        wanted, state = of_pools.step(state)
        found, timestep, readout, *membranes = step(values)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        values |= {"timestep": timestep, "readout": readout, "fresh": torch.zeros(4, dtype=torch.bool)}
        values |= {f"membrane_{layer}": v for layer, v in enumerate(membranes)}


def change_mean(network):
    network.mean += 0.01


def change_pool(network):
    (last,) = (
        module
        for module in network.modules()
        if isinstance(module, nn.AvgPool2d) and module.kernel_size == 3 and module.stride == 3
    )
    last.divisor_override = 8


def change_weight(network):
    network.head.layers["_15"].weight.data[0] += 0.1


def change_threshold(network):
    neuron = [module for module in network.modules() if isinstance(module, bb.LIF)][-1]
    neuron.v_threshold = neuron.height = neuron.v_threshold * 1.01


@pytest.mark.parametrize("change", [change_mean, change_pool, change_weight, change_threshold])
def test_files_that_compute_something_else_are_refused(change, of_pools, folder_of_pools):
    check_files(of_pools, 4, *models(folder_of_pools))
    other = copy.deepcopy(of_pools)
    change(other)
    with pytest.raises(bb.InputError, match="compute what the network does, got others"):
        check_files(other, 4, *models(folder_of_pools))


def test_a_network_that_cannot_be_exported_is_one_sentence(of_pools, tmp_path, monkeypatch):
    for what, settings, message in (
        (nn.Linear(3, 2), {"num_slots": 2}, "network to be a Backbone, got a Linear"),
        (of_pools, {"num_slots": 1.5}, r"num_slots to be a whole number of 1 or more, got 1\.5"),
        (of_pools, {"num_slots": "many"}, "num_slots to be a whole number of 1 or more, got .many."),
    ):
        with pytest.raises(bb.InputError, match=message):
            export_network(what, tmp_path / "out", **settings)

    def broken(*arguments, **settings):
        raise RuntimeError("no such operator.\nAnd much more.")

    monkeypatch.setattr("torch.onnx.export", broken)
    with pytest.raises(bb.InputError, match=r"layers that torch.onnx can export, but: no such operator\.$"):
        export_network(of_pools, tmp_path / "out", num_slots=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow  # seconds of torch's exporter
def test_networks_of_frames_are_exported_and_the_callers_own_mode_stays(tmp_path):
    network = bb.build("small", num_classes=3, timesteps=3, encoding="event", input_shape=(2, 8, 8), width=4).train()
    export_network(network, tmp_path / "out", num_slots=2)
    assert network.training
    assert json.loads((tmp_path / "out" / "network.json").read_text())["input_shape"] == [3, 2, 8, 8]
