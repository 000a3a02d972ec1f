"""NIR graphs as backbones. Needs the extra `nir`: `make test-adapters` runs this."""

import itertools

import pytest

pytest.importorskip("nir", reason="the extra 'nir' is optional: make test-adapters")
pytest.importorskip("nirtorch", reason="the extra 'nir' is optional: make test-adapters")

import h5py
import nir
import nirtorch
import numpy as np
import torch
from torch import nn

import backbones as bb
from backbones.adapters import wrap
from tests.helpers.adapted import T, keeps_every_promise, logits, refilled_rows_run_afresh, running_mean, train

if not hasattr(nirtorch, "nir_to_torch"):
    pytest.skip("nirtorch is too old for the extra 'nir'", allow_module_level=True)

DT = 1e-3


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, excess):
        ctx.save_for_backward(excess)
        return (excess > 0).float()

    @staticmethod
    def backward(ctx, gradient):
        (excess,) = ctx.saved_tensors
        return gradient * (1 - excess.abs()).clamp(min=0)


class HandWritten(nn.Module):
    """conv - LIF - linear - CubaLIF - linear - LI by its equations, trained here and then written as a graph."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc, self.out = nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.Linear(128, 32), nn.Linear(32, 10)

    def forward(self, images):
        v1 = v2 = i2 = v3 = 0.0
        outputs = []
        for _ in range(T):
            v1 = v1 + DT / 2e-3 * ((0.0 - v1) + 1.5 * self.conv(images))
            z1 = Spike.apply(v1 - 0.5)
            v1 = torch.where(z1 > 0, torch.tensor(-0.1), v1)
            i2 = i2 + DT / 2e-3 * (2.0 * self.fc(z1.flatten(1)) - i2)
            v2 = v2 + DT / 2e-3 * ((0.0 - v2) + 1.0 * i2)
            z2 = Spike.apply(v2 - 0.4)
            v2 = torch.where(z2 > 0, torch.tensor(0.0), v2)
            v3 = v3 + DT / 4e-3 * ((0.0 - v3) + 4.0 * self.out(z2))
            outputs.append(v3)
        return torch.stack(outputs)

    def graph(self):
        def full(value, *shape):
            return np.full(shape, value, np.float32)

        weights = {name: value.detach().numpy() for name, value in self.named_parameters()}
        hidden, flat = (8, 4, 4), 32
        nodes = [
            nir.Conv2d((8, 8), weights["conv.weight"], 2, 1, 1, 1, weights["conv.bias"]),
            nir.LIF(
                tau=full(2e-3, *hidden),
                r=full(1.5, *hidden),
                v_leak=full(0, *hidden),
                v_threshold=full(0.5, *hidden),
                v_reset=full(-0.1, *hidden),
            ),
            nir.Flatten({"input": np.array(hidden)}, 0, -1),
            nir.Affine(weights["fc.weight"], weights["fc.bias"]),
            nir.CubaLIF(
                tau_syn=full(2e-3, flat),
                tau_mem=full(2e-3, flat),
                r=full(1, flat),
                v_leak=full(0, flat),
                v_threshold=full(0.4, flat),
                w_in=full(2, flat),
            ),
            nir.Affine(weights["out.weight"], weights["out.bias"]),
            nir.LI(tau=full(4e-3, 10), r=full(4, 10), v_leak=full(0, 10)),
        ]
        return nir.NIRGraph.from_list(*nodes)


@pytest.fixture(scope="module")
def trained(digits):
    net = HandWritten()
    return train(net, net, digits)


def own_loop(module):
    """NIRTorch's: the module's state goes round."""

    def run(images):
        outputs, state = [], None
        for _ in range(T):
            output, state = module(images, state)
            outputs.append(output)
        return torch.stack(outputs)

    return run


def test_a_trained_network_keeps_every_promise(trained, digits):
    backbone = wrap(trained.graph(), digits.train.images[:8], T, dt=DT)
    keeps_every_promise(backbone, own_loop(backbone.module), digits)


def test_a_graph_steps_by_its_equations(trained, images):
    backbone = wrap(trained.graph(), images[:8], T, dt=DT)
    with torch.no_grad():
        torch.testing.assert_close(logits(backbone, images), running_mean(trained(images / 255)))


def test_a_file_a_graph_and_a_module_made_of_it_are_the_same_backbone(trained, images, tmp_path):
    path = tmp_path / "network.nir"
    nir.write(path, trained.graph())
    graph = wrap(trained.graph(), images[:8], T, dt=DT)
    file, module = wrap(path, images[:8], T, dt=DT), wrap(graph.module, images[:8], T)
    assert graph.fingerprint == file.fingerprint == module.fingerprint
    assert torch.equal(logits(file, images), logits(module, images))
    assert wrap(path, images[:8], T, dt=DT / 2).fingerprint != file.fingerprint


def test_the_fingerprint_covers_the_wiring_of_graphs():
    inputs = torch.rand(8, 64)
    graph = recurrent()
    skipping = nir.NIRGraph(graph.nodes, [*graph.edges, ("fc", "back")])
    reordered = nir.NIRGraph(dict(reversed(graph.nodes.items())), list(reversed(graph.edges)))
    first, other, same = (wrap(each, inputs, T, dt=DT, check=False) for each in (graph, skipping, reordered))
    assert first.fingerprint == same.fingerprint != other.fingerprint


def neuron(kind, **values):
    return kind(**{name: np.full(64, value, np.float32) for name, value in values.items()})


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        # x = 1, dt = 1: v = 0.5·1 → 0.5, 0.75; fires above 0.6 at the second step
        (lambda: neuron(nir.LIF, tau=2.0, r=1.0, v_leak=0.0, v_threshold=0.6), [0, 1, 0, 1]),
        (lambda: neuron(nir.LIF, tau=2.0, r=1.0, v_leak=0.0, v_threshold=0.75), [0, 0, 1, 0]),  # at it: silent
        (lambda: neuron(nir.IF, r=0.5, v_threshold=1.2, v_reset=-0.5), [0, 0, 0, 1]),  # from -0.5: 0, .5, 1, 1.5
        (lambda: neuron(nir.I, r=0.5), [0.5, 1, 1.5, 2]),
        (lambda: neuron(nir.LI, tau=2.0, r=1.0, v_leak=0.5), [1, 1.25, 1.375, 1.4375]),  # rests at its leak
        (lambda: neuron(nir.LI, tau=2.0, r=2.0, v_leak=0.0), [1, 1.5, 1.75, 1.875]),
        # I: .5, .75, .875, .9375; v = (v + I)/2
        (lambda: neuron(nir.CubaLI, tau_syn=2.0, tau_mem=2.0, r=1.0, v_leak=0.0), [0.25, 0.5, 0.6875, 0.8125]),
    ],
)
def test_neurons_follow_trajectories_worked_out_by_hand(node, expected):
    graph = nir.NIRGraph.from_list(nir.Scale(np.ones(64, np.float32)), node())
    module = wrap(graph, torch.rand(8, 64), 4, dt=1.0, check=False).module
    found = own_loop(module)(torch.ones(1, 64))[:, 0, 0]
    assert found.tolist() == expected


def recurrent():
    """Spikes go back to the neuron through a linear layer."""
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input({"input": np.array([64])}),
        "fc": nir.Linear(rng.normal(size=(32, 64)).astype(np.float32) * 0.4),
        "lif": nir.LIF(*(np.full(32, x, np.float32) for x in (2e-3, 1, 0, 0.3))),
        "back": nir.Linear(rng.normal(size=(32, 32)).astype(np.float32)),
        "out": nir.Linear(rng.normal(size=(10, 32)).astype(np.float32)),
        "output": nir.Output({"output": np.array([10])}),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "out"), ("out", "output")]
    return nir.NIRGraph(nodes, edges)


def test_a_recurrent_graph_carries_its_spikes_row_by_row():
    inputs = torch.rand(10, 64, generator=torch.Generator().manual_seed(0))
    backbone = wrap(recurrent(), inputs[:8], T, dt=DT)
    refilled_rows_run_afresh(backbone, inputs)
    assert torch.equal(logits(backbone, inputs), running_mean(own_loop(backbone.module)(inputs)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("no graph"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: emptied(path),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(spoil, tmp_path):
    path = tmp_path / "network.nir"
    nir.write(path, recurrent())
    spoil(path)
    with pytest.raises(
        bb.InputError, match=r"Expected a NIR graph that can be read in .*network.nir, but: "
    ) as refused:
        wrap(path, torch.rand(8, 64), T, dt=DT)
    assert "\n" not in str(refused.value)


def emptied(path):
    with h5py.File(path, "w") as file:
        file["something"] = 1


def test_a_graph_that_cannot_be_wired_is_one_sentence():
    graph = recurrent()
    del graph.nodes["output"]
    with pytest.raises(bb.InputError, match="Expected a NIR graph") as refused:
        wrap(graph, torch.rand(8, 64), T, dt=DT)
    assert "\n" not in str(refused.value)


def test_pooling_sums_and_averages_windows(images):
    def pooled(kind):
        size = np.array([2, 2])
        nodes = {
            "input": nir.Input({"input": np.array([1, 8, 8])}),
            "pool": kind(size, size, np.array([0, 0])),
            "neurons": nir.I(np.full((1, 4, 4), 1.0, np.float32)),
            "flat": nir.Flatten({"input": np.array([1, 4, 4])}, 0, -1),
            "output": nir.Output({"output": np.array([16])}),
        }
        names = list(nodes)
        graph = nir.NIRGraph(nodes, list(itertools.pairwise(names)))
        backbone = wrap(graph, images[:8], 1, dt=1.0, check=False)
        return logits(backbone, images)[:, 0]

    mean = nn.functional.avg_pool2d(images / 255, 2).flatten(1)
    torch.testing.assert_close(pooled(nir.AvgPool2d), mean)
    torch.testing.assert_close(pooled(nir.SumPool2d), 4 * mean)


@pytest.mark.parametrize(
    ("make", "dt", "message"),
    [
        (recurrent, None, "Expected dt, the length of a timestep"),
        (lambda: nir.NIRGraph.from_list(nir.Linear(np.ones((10, 64), np.float32))), DT, "a NIR graph with neurons"),
        (
            lambda: nir.NIRGraph.from_list(neuron(nir.I, r=1.0), nir.Delay(np.ones(64, np.float32))),
            DT,
            r"got delay, a Delay\. Known: .*CubaLIF",
        ),
        (lambda: "missing.nir", DT, "got missing.nir, which is no file"),
        (lambda: nir.LIF(*(np.ones(4) for _ in range(4))), DT, "Expected a NIR graph, got LIF"),
    ],
)
def test_graphs_that_cannot_be_stepped_row_by_row_are_refused_by_name(make, dt, message):
    with pytest.raises(bb.InputError, match=message):
        wrap(make(), torch.rand(8, 64), T, dt=dt)
