"""SpikingJelly's modules as backbones. Needs the extra `spikingjelly`: `make test-adapters` runs this."""

import numpy as np
import pytest

from backbones.contract import probe_sizes

pytest.importorskip("spikingjelly", reason="the extra 'spikingjelly' is optional: make test-adapters")

import torch
from spikingjelly.activation_based import base, encoding, functional, layer, neuron
from torch import nn

import backbones as bb
import seenn_env
from backbones.adapters import wrap
from tests.helpers.adapted import T, keeps_every_promise, refilled_rows_run_afresh, running_mean, train
from tests.helpers.leaks import leaks_not_found, random_images, random_layers, refused
from tests.helpers.pages import DOCS, run_page
from tests.helpers.programs import load_program


def convolutional(step_mode="s"):
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Conv2d(1, 8, 3, stride=2, padding=1, bias=False),
        layer.BatchNorm2d(8),
        neuron.LIFNode(tau=2.0, v_threshold=0.5),
        layer.Flatten(),
        layer.Linear(8 * 4 * 4, 32),
        neuron.ParametricLIFNode(v_reset=None),
        layer.Linear(32, 10),
    )
    functional.set_step_mode(net, step_mode)
    return net


def own_loop(net):
    def run(images):
        functional.reset_net(net)
        outputs = torch.stack([net(images) for _ in range(T)])
        functional.reset_net(net)
        return outputs

    return run


@pytest.fixture(scope="module")
def trained(digits):
    net = convolutional()
    return train(net, own_loop(net), digits)


def small(*layers, outputs=10):
    torch.manual_seed(0)
    return nn.Sequential(layer.Flatten(), *layers, layer.Linear(64, outputs)).eval()


def test_a_trained_network_keeps_every_promise(trained, digits):
    keeps_every_promise(wrap(trained, digits.train.images[:8], T), own_loop(trained), digits)


def test_multi_step_mode_is_stepped_too_and_gives_the_logits_of_single_steps(trained, digits, images):
    net = convolutional("m").eval()
    net.load_state_dict(trained.state_dict())
    multi, single = wrap(net, images, T), wrap(trained, images, T)
    refilled_rows_run_afresh(multi, images)
    for one, other in zip(run_of(multi, images), run_of(single, images), strict=True):
        torch.testing.assert_close(one, other)


def run_of(backbone, images):
    state, found = backbone.start(images), []
    for _ in range(T):
        logits, state = backbone.step(state)
        found.append(logits)
    return found


@pytest.mark.parametrize(
    "make",
    [
        lambda: neuron.IFNode(),
        lambda: neuron.IFNode(v_threshold=0.7, v_reset=None),
        lambda: neuron.LIFNode(v_reset=-0.2),
        lambda: neuron.HalfThresholdIFNode(v_threshold=0.8),
        lambda: neuron.KLIFNode(),
        lambda: neuron.QIFNode(),
        lambda: neuron.IzhikevichNode(),
        lambda: neuron.CUBALIFNode(),
        lambda: nn.Sequential(layer.SynapseFilter(), neuron.IFNode()),
        lambda: layer.ElementWiseRecurrentContainer(neuron.IFNode(), lambda x, y: x + 0.5 * y),
        lambda: layer.LinearRecurrentContainer(neuron.LIFNode(v_threshold=0.1), 64, 64),
    ],
)
def test_other_stateful_layers_are_found_too(make, images):
    torch.manual_seed(0)
    net = small(layer.Linear(64, 64), make())
    net[1].weight.data *= 4
    backbone = wrap(net, images[:8], T)
    refilled_rows_run_afresh(backbone, images)
    expected = own_loop(net)(images / 255)
    assert torch.equal(torch.stack(run_of(backbone, images), 1), running_mean(expected))


def test_a_refilled_half_threshold_neuron_starts_from_half_its_threshold(images):
    net = small(neuron.HalfThresholdIFNode(v_threshold=0.8))
    backbone = wrap(net, images[:8], T)
    _, state = backbone.step(backbone.start(images))
    state = backbone.refill(state, torch.tensor([2]), images[:1])
    (v,) = state.memory.values()
    assert torch.equal(v[2], torch.full((64,), 0.4))
    assert not torch.equal(v[1], v[2])


def test_a_potential_at_the_threshold_fires_as_in_the_framework():
    net = nn.Sequential(neuron.IFNode(v_threshold=1.0)).eval()
    backbone = wrap(net, torch.eye(4), 2, check=False)
    logits, _ = backbone.step(backbone.start(torch.tensor([[1.0, 0.99, 0.0, 2.0]])))
    assert logits.tolist() == [[1.0, 0.0, 0.0, 1.0]]


def test_the_module_is_left_as_it_was_found(trained, images):
    functional.reset_net(trained)
    trained(torch.rand(3, 1, 8, 8))
    before = [value.clone() for value in base.extract_memories(trained)]
    wrap(trained, images[:8], T)
    after = base.extract_memories(trained)
    assert len(before) == len(after) == 2
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    assert not any(part.training for part in trained.modules())


def test_the_fingerprint_covers_weights_settings_and_timesteps_and_is_stable(images):
    net = small(neuron.IFNode(v_threshold=0.5))
    backbone = wrap(net, images[:8], T)
    first = backbone.fingerprint
    backbone.step(backbone.start(images))
    functional.reset_net(net)
    same = wrap(small(neuron.IFNode(v_threshold=0.5)), images[:8], T)
    others = [
        wrap(small(neuron.IFNode(v_threshold=0.6)), images[:8], T),
        wrap(small(neuron.IFNode(v_threshold=0.5, v_reset=None)), images[:8], T),
        wrap(net, images[:8], T + 1),
        wrap(net, images[:8], T, encoding="poisson"),
        wrap(net, images[:8], T, encoding="poisson", encoding_seed=1),
    ]
    assert backbone.fingerprint == first == same.fingerprint
    assert len({first, *(other.fingerprint for other in others)}) == 6
    with torch.no_grad():
        net[2].weight += 1
    assert backbone.fingerprint != first


def test_hidden_spikes_are_the_layers_own(trained, digits):
    backbone = wrap(trained, digits.train.images[:8], T, hidden="2")
    images = torch.from_numpy(digits.test.images[:8])
    functional.reset_net(trained)
    with torch.no_grad():
        spikes = trained[:3](images / 255)
    functional.reset_net(trained)
    _, state = backbone.step(backbone.start(images))
    assert torch.equal(backbone.probe(state)["hidden"], spikes.mean((2, 3)))
    assert probe_sizes(backbone, digits.test.images[:2]) == {"hidden": 8}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(encoding.LatencyEncoder(T), small(neuron.IFNode())).eval(), r"got 0\.(spike|t), "),
        (lambda: small(layer.BatchNormThroughTime1d(T, 64), neuron.IFNode()), r"got 1\.t, an int that changes"),
        (lambda: small(neuron.SlidingPSN(k=2)), r"got 1, a parallel neuron \(SlidingPSN\)"),
        (lambda: small(neuron.MaskedPSN(k=2, T=T)), r"got 1, a parallel neuron \(MaskedPSN\)"),
        (lambda: small(neuron.IFNode(), layer.Delay(1)), r"got 2\.queue, a list that changes"),
        (lambda: small(nn.ReLU()), "without any"),
        (lambda: small(neuron.IFNode()).train(), r"in training mode: call \.eval\(\)"),
        (lambda: small(neuron.IFNode(), outputs=1), r"Expected outputs \[B, K\] .* got \[8, 1\]"),
    ],
)
def test_a_module_that_cannot_be_stepped_row_by_row_is_refused_by_name(make, message, images):
    with pytest.raises(bb.InputError, match=message):
        wrap(make(), images[:8], T)


def test_multi_step_layers_without_rows_of_their_own_are_refused_by_name(images):
    for part, name in [
        (neuron.PSN(T=T), "parallel neuron"),
        (layer.TemporalEffectiveBatchNorm1d(T, 64), "a scale for each timestep"),
    ]:
        net = small(part, neuron.IFNode())
        functional.set_step_mode(net, "m")
        with pytest.raises(bb.InputError, match=name):
            wrap(net, images[:8], T)


class Whole(nn.Module):
    """Runs all timesteps in one call, as the framework's tutorials do."""

    def __init__(self, mean):
        super().__init__()
        self.body, self.mean = small(neuron.IFNode(v_threshold=0.3)), mean

    def forward(self, images):
        functional.reset_net(self)
        outputs = torch.stack([self.body(images) for _ in range(T)])
        return outputs.mean(0) if self.mean else outputs


def test_a_module_that_runs_all_timesteps_itself_is_refused_and_its_body_is_not(images):
    with pytest.raises(bb.InputError, match="runs all timesteps in one call cannot be stepped"):
        wrap(Whole(mean=False).eval(), images[:8], T)
    with pytest.raises(
        bb.InputError, match=r"got 4 through body\.1 \(IFNode\).* the reset of its neurons from forward"
    ):
        wrap(Whole(mean=True).eval(), images[:8], T)
    wrap(Whole(mean=True).eval().body, images[:8], T)


class Repeats(nn.Module):
    """Repeats the images over time for layers in step mode "m", and averages their outputs."""

    def __init__(self):
        super().__init__()
        self.body = small(neuron.IFNode(v_threshold=0.3))
        functional.set_step_mode(self.body, "m")

    def forward(self, images):
        return self.body[1:](images.flatten(1).repeat(T, 1, 1)).mean(0)


class Loops(Repeats):
    """Runs its layers T times in one call, and carries their state on."""

    def forward(self, images):
        functional.set_step_mode(self.body, "s")
        return torch.stack([self.body(images) for _ in range(T)]).mean(0)


@pytest.mark.parametrize("make", [Repeats, Loops])
@pytest.mark.parametrize("time_axis", [None, "auto"])
def test_all_timesteps_in_one_call_are_noticed_on_any_time_axis(make, time_axis, images):
    with pytest.raises(bb.InputError, match=r"(got 4 through body\.1.*name it by time_axis=|raised \w+)"):
        wrap(make().eval(), images[:8], T, time_axis=time_axis)


def test_rows_are_not_taken_for_timesteps(images):
    net = small(neuron.IFNode(v_threshold=0.3))
    functional.set_step_mode(net, "m")
    with pytest.raises(bb.InputError, match="cannot be stepped"):
        wrap(net, images[:8], T, time_axis=None)


def test_a_norm_over_channels_with_a_state_of_one_is_one_timestep(images):
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1),
        neuron.IFNode(v_threshold=0.3),
        layer.NeuNorm(4, 8, 8),
        nn.Flatten(),
        nn.Linear(256, 10),
    ).eval()
    assert wrap(net, images[:8], T).timesteps == T


def random_small(seed):
    """A random small network, in single-step or multi-step mode."""

    def make(random):
        settings = {"v_threshold": random(0.1, 1), "v_reset": (None, 0.0, -0.1)[seed % 3]}
        if seed % 5 == 0:
            return neuron.IFNode(**settings)
        return neuron.LIFNode(tau=random(1.1, 4), decay_input=seed % 2 == 0, **settings)

    layers, multi_step = random_layers(seed, make), seed % 4 == 3
    if multi_step:
        layers = [part if isinstance(part, base.MemoryModule) else layer.SeqToANNContainer(part) for part in layers]
    net = nn.Sequential(*layers).eval()
    if multi_step:
        functional.set_step_mode(net, "m")
    return wrap(net, random_images(seed), 1 + seed % 6)


def test_sound_networks_are_not_refused_and_leaks_are_found():
    assert refused(random_small, range(16)) == {}
    assert leaks_not_found(random_small, 14) == []


@pytest.mark.slow
def test_none_of_300_sound_networks_is_refused_and_100_of_100_leaks_are_found():
    assert refused(random_small, range(300)) == {}
    assert leaks_not_found(random_small, 100) == []


@pytest.mark.parametrize("step_mode", ["s", "m"])
def test_its_operations_are_counted_in_both_step_modes(step_mode, digits):
    few = digits.test.select(slice(0, 12))
    net = nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1, bias=False),
        neuron.IFNode(v_threshold=0.2),
        layer.Flatten(),
        layer.Linear(256, 10),
    ).eval()
    functional.set_step_mode(net, step_mode)
    traces = seenn_env.record(wrap(net, few.images[:8], T), few, energy=True, batch_size=12)
    assert traces.operations[:, -1, 0].min() > 0
    assert (traces.operations[:, -1, 1] % 10 == 0).all()
    assert traces.operations[:, -1, 1].min() > 0
    assert (traces.operations[:, -1, 2] == T * (4 * 22 * 22 + 256 * 10)).all()


def test_a_poisson_encoding_of_ours_goes_in_front_of_the_module(trained, images):
    backbone = wrap(trained, images[:8], T, encoding="poisson", encoding_seed=3)
    keys = torch.arange(10)
    logits, _ = backbone.step(backbone.start(images, keys))
    functional.reset_net(trained)
    spikes = backbone.encoding(images / 255, keys, torch.ones(10, dtype=torch.int64))
    assert set(np.unique(spikes)) == {0.0, 1.0}
    with torch.no_grad():
        assert torch.equal(logits, trained(spikes))
    functional.reset_net(trained)


def test_the_example_goes_all_the_way_to_a_policy_that_keeps_its_target():
    result = load_program("examples/bring_your_own_spikingjelly").main(epochs=8, total_timesteps=30_000)
    assert result.accuracy > 0.85
    assert result.mean_timesteps == pytest.approx(2, abs=0.4)


def test_the_tutorial_goes_from_a_network_to_a_comparison(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smaller = {"range(20)": "range(2)", "200_000": "8192"}
    printed = run_page(DOCS / "tutorials" / "spikingjelly.md", {}, smaller)
    assert printed.count("PPO - confidence: ") == printed.count("PPO - per-timestep-margin: ") == 1
