"""snnTorch's modules as backbones. Needs the extra `snntorch`: `make test-adapters` runs this."""

import pytest

pytest.importorskip("snntorch", reason="the extra 'snntorch' is optional: make test-adapters")

import snntorch as snn
import snntorch.import_nir
import torch
from torch import nn

import backbones as bb
import seenn_env
from backbones.adapters import wrap
from tests.helpers.adapted import (
    T,
    keeps_every_promise,
    logits,
    refilled_rows_run_afresh,
    running_mean,
    small_graph,
    train,
)
from tests.helpers.leaks import leaks_not_found, random_images, random_layers, refused
from tests.helpers.pages import DOCS, run_page
from tests.helpers.programs import load_program


class Net(nn.Module):
    """The framework's usual form: layers that give (spikes, membrane), here kept by the layers themselves."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(64, 48), snn.Leaky(beta=0.8, threshold=0.5)
        self.fc2, self.lif2 = nn.Linear(48, 10), snn.Leaky(beta=0.9, learn_beta=True)

    def reset(self):
        self.lif1.reset_mem()
        self.lif2.reset_mem()

    def forward(self, images):
        spikes, _ = self.lif1(self.fc1(images.flatten(1)))
        return self.lif2(self.fc2(spikes))


def own_loop(net, part=1):
    """The framework's loop: for each timestep the layers' new (spikes, membrane)."""

    def run(images):
        net.reset()
        outputs = torch.stack([net(images)[part] for _ in range(T)])
        net.reset()
        return outputs

    return run


@pytest.fixture(scope="module")
def trained(digits):
    torch.manual_seed(0)
    net = Net()
    return train(net, own_loop(net), digits)


def sequential(*layers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), *layers).eval()


@pytest.mark.parametrize(("output", "part"), [("membrane", 1), ("spikes", 0), (lambda given: given[1], 1)])
def test_a_trained_network_keeps_every_promise(trained, digits, output, part):
    backbone = wrap(trained, digits.train.images[:8], T, output=output)
    keeps_every_promise(backbone, own_loop(trained, part), digits)


def test_frames_of_events_are_shown_one_a_timestep(trained):
    frames = torch.randint(3, (10, T, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    backbone = wrap(trained, frames[:8], T, output="membrane", encoding="event")
    trained.reset()
    with torch.no_grad():
        expected = torch.stack([trained(frames[:, t].float())[1] for t in range(T)])
    trained.reset()
    assert torch.equal(logits(backbone, frames), running_mean(expected))
    with pytest.raises(bb.InputError, match=r"Expected frames \[B, 5, …\] for the encoding 'event'"):
        wrap(trained, frames[:8], T + 1, output="membrane", encoding="event")


def test_a_slot_pool_runs_it_live(trained, images):
    backbone = wrap(trained, images[:8], T, output="membrane")
    pool = bb.SlotPool(backbone, num_slots=8)
    pool.refill(torch.arange(8), images[:8])
    pool.step()
    pool.refill([5, 2], images[8:10])
    expected = logits(backbone, torch.cat([images[:2], images[9:10], images[3:5], images[8:9], images[6:8]]))
    assert torch.equal(pool.step()[[2, 5]], expected[[2, 5], 0])


def hidden_loop(net, images):
    def reset():
        for part in net.modules():
            if isinstance(part, snn.SpikingNeuron):
                part.reset_mem()

    reset()
    with torch.no_grad():
        results = [net(images) for _ in range(T)]
    reset()
    return torch.stack([result[-1] if isinstance(result, tuple) else result for result in results])


@pytest.mark.parametrize(
    "make",
    [
        lambda: snn.Leaky(0.9, init_hidden=True),
        lambda: snn.Leaky(0.9, init_hidden=True, reset_mechanism="zero", reset_delay=False),
        lambda: snn.Synaptic(0.8, 0.9, init_hidden=True),
        lambda: snn.Alpha(0.9, 0.8, threshold=0.2, init_hidden=True),
        lambda: snn.Lapicque(0.9, init_hidden=True),
        lambda: snn.RLeaky(0.9, linear_features=64, init_hidden=True),
        lambda: snn.RSynaptic(0.8, 0.9, linear_features=64, init_hidden=True),
    ],
)
def test_other_neurons_with_hidden_state_are_found_too(make, images):
    net = sequential(nn.Linear(64, 64), make(), nn.Linear(64, 10))
    with torch.no_grad():
        net[1].weight *= 6
    backbone = wrap(net, images[:8], T)
    refilled_rows_run_afresh(backbone, images)
    assert torch.equal(logits(backbone, images), running_mean(hidden_loop(net, images / 255)))


def test_a_recurrent_lstm_layer_is_found_too_unless_it_drops_its_state(images):
    net = sequential(snn.SLSTM(64, 64, threshold=0.01, init_hidden=True), nn.Linear(64, 10))
    backbone = wrap(net, images[:8], T)
    refilled_rows_run_afresh(backbone, images)
    assert torch.equal(logits(backbone, images), running_mean(hidden_loop(net, images / 255)))
    # snnTorch 1.0 compares the state with the shape of the input, and zeroes it where the sizes differ.
    net = sequential(snn.SLSTM(64, 10, threshold=0.01, init_hidden=True, output=True))
    with pytest.raises(bb.InputError, match="starts afresh in each"):
        wrap(net, images[:8], T, output="membrane")


def test_a_potential_at_the_threshold_does_not_fire_as_in_the_framework():
    net = nn.Sequential(snn.Leaky(0.9, threshold=1.0, init_hidden=True)).eval()
    backbone = wrap(net, torch.eye(4) * 2, 2, check=False)
    now, _ = backbone.step(backbone.start(torch.tensor([[1.0, 1.01, 0.0, 2.0]])))
    assert now.tolist() == [[0.0, 1.0, 0.0, 1.0]]


def test_resetting_every_layer_of_the_process_does_not_reach_a_run(trained, images):
    backbone = wrap(trained, images[:8], T, output="membrane")
    undisturbed = logits(backbone, images)
    state, found = backbone.start(images), []
    for _ in range(T):
        now, state = backbone.step(state)
        found.append(now)
        snn.Leaky.reset_hidden()
    assert torch.equal(torch.stack(found, 1), undisturbed)


def test_wrapping_and_stepping_do_not_change_the_model(trained, images):
    other = snn.Leaky(0.9)
    other(torch.rand(3, 5))
    trained(torch.rand(3, 64))
    layers = [other, trained.lif1, trained.lif2]
    before = [layer.mem.clone() for layer in layers]
    backbone = wrap(trained, images[:8], T, output="membrane")
    logits(backbone, images)
    assert all(torch.equal(layer.mem, mem) for layer, mem in zip(layers, before, strict=True))
    assert before[0].abs().sum() > 0
    trained.reset()


class KeepsItself(Net):
    """Keeps a potential where the framework does not know of it."""

    def __init__(self):
        super().__init__()
        self.mem = torch.zeros(1)

    def forward(self, images):
        spikes, self.mem = self.lif1(self.fc1(images.flatten(1)), self.mem.expand(len(images), 48)[: len(images)])
        return self.fc2(spikes)


class Counts(Net):
    """Has a norm for each timestep, and a clock."""

    def __init__(self):
        super().__init__()
        self.norms, self.clock = nn.ModuleList(nn.BatchNorm1d(48) for _ in range(9)), 0

    def forward(self, images):
        self.clock = (self.clock + 1) % 9
        return self.lif2(self.fc2(self.lif1(self.norms[self.clock](self.fc1(images.flatten(1))))[0]))[1]


class Over(Net):
    """Runs over time in one call, as the framework's tutorials do."""

    def forward(self, images):
        self.reset()
        return torch.stack([super(Over, self).forward(images)[1] for _ in range(T)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Net, r"got a tuple of 2: set output='spikes' \(the first\)"),
        (Counts, r"got clock, which went from \d+ to \d+ in one timestep"),
        (KeepsItself, r"(got mem, which changed in one timestep|Expected KeepsItself to run one timestep)"),
        (Over, "runs all timesteps in one call cannot be stepped"),
        (lambda: sequential(snn.LeakyParallel(64, 10)), r"got 1, a neuron \(LeakyParallel\) that takes all timesteps"),
        (lambda: sequential(nn.Linear(64, 10), nn.ReLU()), "without any"),
        (lambda: sequential(nn.Linear(64, 10), snn.Leaky(0.9)).train(), r"call \.eval\(\) first"),
    ],
)
def test_a_module_that_cannot_be_stepped_row_by_row_is_refused_by_name(make, message, images):
    torch.manual_seed(0)
    net = make()
    with pytest.raises(bb.InputError, match=message):
        wrap(net if "first" in message and "eval" in message else net.eval(), images[:8], T)


class SmallByHand(nn.Module):
    """Random layers whose states are passed by hand."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.eval()

    def forward(self, x, state):
        after = []
        for layer in self.layers:
            if isinstance(layer, snn.SpikingNeuron):
                x, mem = layer(x, state[len(after)])
                after.append(mem)
            else:
                x = layer(x)
        return x, after


def small(seed):
    """A random small network: states hidden in the layers, or passed by hand."""

    def neuron(random):
        settings = {"beta": random(0.3, 1), "threshold": random(0.1, 1), "init_hidden": seed % 4 != 3}
        mechanism = ("subtract", "zero", "none")[seed % 3 if seed % 5 else 0]
        kind = snn.Lapicque if seed % 7 == 0 else snn.Leaky
        return kind(**settings, reset_mechanism=mechanism)

    layers = random_layers(seed, neuron)
    net = SmallByHand(layers) if seed % 4 == 3 else nn.Sequential(*layers).eval()
    return wrap(net, random_images(seed), 1 + seed % 6)


def test_sound_networks_are_not_refused_and_leaks_are_found():
    assert refused(small, range(16)) == {}
    assert leaks_not_found(small, 14) == []


@pytest.mark.slow
def test_none_of_300_sound_networks_is_refused_and_100_of_100_leaks_are_found():
    assert refused(small, range(300)) == {}
    assert leaks_not_found(small, 100) == []


def test_its_operations_are_counted(trained, digits):
    few = digits.test.select(slice(0, 12))
    traces = seenn_env.record(wrap(trained, few.images[:8], T, output="membrane"), few, energy=True, batch_size=12)
    macs = 48 * (few.images != 0).reshape(12, -1).sum(1)
    assert (traces.operations[:, -1, 0] == T * macs).all()
    spikes = []
    hook = trained.lif1.register_forward_hook(lambda layer, given, result: spikes.append(result[0].sum(1)))
    own_loop(trained)(torch.from_numpy(few.images) / 255)
    hook.remove()
    assert traces.operations[:, -1, 1].tolist() == (10 * sum(spikes)).tolist()


def test_a_membrane_is_not_asked_of_a_module_that_gives_one_tensor(images):
    net = sequential(nn.Linear(64, 10), snn.Leaky(0.9, init_hidden=True))
    with pytest.raises(bb.InputError, match="by output=True"):
        wrap(net, images[:8], T, output="membrane")


def test_a_nir_graph_runs_as_the_framework_imports_it():
    graph, inputs = small_graph(tau=2e-4, r=2.0), torch.rand(10, 64)
    own = wrap(snn.import_nir.import_from_nir(graph).eval(), inputs[:8], T, output="spikes")
    assert own.framework == "snntorch"
    torch.testing.assert_close(logits(wrap(graph, inputs[:8], T, dt=1e-4), inputs), logits(own, inputs))


def test_the_example_goes_all_the_way_to_a_policy_that_keeps_its_target():
    result = load_program("examples/bring_your_own_snntorch").main(epochs=8, total_timesteps=30_000)
    assert result.accuracy > 0.85
    assert result.mean_timesteps == pytest.approx(2, abs=0.4)


def test_the_tutorial_goes_from_a_network_to_a_comparison(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    smaller = {"epochs=20": "epochs=2", "200_000": "8192"}
    printed = run_page(DOCS / "tutorials" / "snntorch.md", {}, smaller)
    assert printed.count("PPO - confidence: ") == printed.count("PPO - per-timestep-margin: ") == 2
    assert (tmp_path / "runs" / "explicit-state" / "report.html").exists()
