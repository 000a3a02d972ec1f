"""Norse's modules as backbones. Needs the extra `norse` (LGPL): `make test-adapters` runs this."""

import pytest

pytest.importorskip("norse", reason="the extra 'norse' is optional: make test-adapters")

import norse.torch as norse
import torch
from norse.torch.functional.lif import LIFParameters
from torch import nn

import backbones as bb
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

FAST = LIFParameters(tau_mem_inv=torch.tensor(400.0), tau_syn_inv=torch.tensor(600.0), v_th=torch.tensor(0.3))
OFF_ZERO = FAST._replace(v_leak=torch.tensor(0.1), v_reset=torch.tensor(-0.1))


def convolutional():
    torch.manual_seed(0)
    return norse.SequentialState(
        nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False),
        norse.LIFCell(FAST),
        nn.Flatten(),
        nn.Linear(128, 32),
        norse.LIFCell(OFF_ZERO),
        nn.Linear(32, 10),
        norse.LICell(),
    )


def own_loop(net):
    def run(images):
        outputs, state = [], None
        for _ in range(T):
            output, state = net(images, state)
            outputs.append(output)
        return 20 * torch.stack(outputs) if net.training else torch.stack(outputs)

    return run


@pytest.fixture(scope="module")
def trained(digits):
    net = convolutional()
    return train(net, own_loop(net), digits)


def test_a_trained_network_keeps_every_promise(trained, digits):
    keeps_every_promise(wrap(trained, digits.train.images[:8], T), own_loop(trained), digits)


def small(*layers):
    torch.manual_seed(0)
    net = norse.SequentialState(nn.Flatten(), nn.Linear(64, 64), *layers, nn.Linear(64, 10)).eval()
    with torch.no_grad():
        net[1].weight *= 6
    return net


@pytest.mark.parametrize(
    "make",
    [
        lambda: norse.LIFCell(OFF_ZERO),
        lambda: norse.LIFBoxCell(),
        lambda: norse.IAFCell(),
        lambda: norse.LIFRecurrentCell(64, 64, FAST),
        lambda: norse.LIFAdExCell(),
        lambda: norse.LIFRefracCell(),
        lambda: norse.LSNNCell(),
        lambda: norse.RecurrentSequential(norse.LIFCell(FAST), nn.Linear(64, 64)),
    ],
)
def test_other_cells_are_found_with_their_own_initial_state(make, images):
    net = small(make())
    backbone = wrap(net, images[:8], T)
    refilled_rows_run_afresh(backbone, images)
    with torch.no_grad():
        assert torch.equal(logits(backbone, images), running_mean(own_loop(net)(images / 255)))


def test_modules_with_time_are_stepped_on_their_time_axis(images):
    torch.manual_seed(0)
    net = norse.SequentialState(
        norse.Lift(nn.Conv2d(1, 4, 3)), norse.LIF(OFF_ZERO), nn.Flatten(2), nn.Linear(144, 10), norse.LI()
    ).eval()
    backbone = wrap(net, images[:8], T)
    refilled_rows_run_afresh(backbone, images)
    with torch.no_grad():
        expected, _ = net((images / 255).expand(T, *images.shape))
    torch.testing.assert_close(logits(backbone, images), running_mean(expected))


def test_a_refilled_row_starts_from_the_leak_potential(images):
    backbone = wrap(small(norse.LIFCell(OFF_ZERO)), images[:8], T)
    _, state = backbone.step(backbone.start(images))
    state = backbone.refill(state, torch.tensor([2]), images[:1])
    v, i = state.memory
    assert torch.equal(v[2], torch.full((64,), 0.1))
    assert torch.equal(i[2], torch.zeros(64))


def test_a_list_that_the_module_writes_into_is_never_ours(trained, images):
    backbone = wrap(trained, images[:8], T)
    _, state = backbone.step(backbone.start(images))
    before = [leaf.clone() for leaf in state.memory]
    backbone.step(state)
    assert all(torch.equal(leaf, kept) for leaf, kept in zip(state.memory, before, strict=True))


def test_a_potential_at_the_threshold_does_not_fire_as_in_the_framework():
    net = norse.SequentialState(norse.IAFCell()).eval()
    backbone = wrap(net, torch.eye(4), 2, check=False)
    now, _ = backbone.step(backbone.start(torch.tensor([[1.0, 1.01, 0.0, 2.0]])))
    assert now.tolist() == [[0.0, 1.0, 0.0, 1.0]]


def test_the_fingerprint_covers_parameters_that_are_no_weights(images):
    first, same = (wrap(small(norse.LIFCell(FAST)), images[:8], T) for _ in range(2))
    other = wrap(small(norse.LIFCell(FAST._replace(v_th=torch.tensor(0.2)))), images[:8], T)
    slower = wrap(small(norse.LIFCell(FAST, dt=0.0005)), images[:8], T)
    assert first.fingerprint == same.fingerprint
    assert len({backbone.fingerprint for backbone in (first, other, slower)}) == 3


def test_a_nir_graph_runs_as_the_framework_imports_it():
    graph, inputs = small_graph(tau=2e-3, r=1.0), torch.rand(10, 64)
    net = norse.from_nir(graph, dt=1e-3)
    with torch.no_grad():
        expected = running_mean(own_loop(net.eval())(inputs))
    assert torch.equal(logits(wrap(graph, inputs[:8], T, dt=1e-3), inputs), expected)


class Custom(nn.Module):
    """A module of one's own that hands its state on."""

    def __init__(self):
        super().__init__()
        self.fc, self.cell, self.head = nn.Linear(64, 64), norse.LIFCell(FAST), nn.Linear(64, 10)

    def forward(self, images, state=None):
        spikes, state = self.cell(6 * self.fc(images.flatten(1)), state)
        return self.head(spikes), state


class Forgets(Custom):
    def forward(self, images, state=None):
        return super().forward(images, None)


class Loops(Custom):
    """Runs all timesteps in one call."""

    def forward(self, images, state=None):
        for _ in range(T):
            output, state = super().forward(images, state)
        return output, state


class Repeats(Custom):
    """Repeats the images over time for a layer that runs over it."""

    def __init__(self):
        super().__init__()
        self.cell = norse.LIF(FAST)

    def forward(self, images, state=None):
        spikes, state = self.cell(6 * self.fc(images.flatten(1)).repeat(T, 1, 1), state)
        return self.head(spikes).mean(0), state


class Remembers(Custom):
    """Keeps one state for itself."""

    def __init__(self):
        super().__init__()
        self.mean = None

    def forward(self, images, state=None):
        output, state = super().forward(images, state)
        self.mean = output if self.mean is None else 0.5 * (self.mean + output)
        return self.mean, state


def test_a_module_of_ones_own_is_a_backbone(images):
    torch.manual_seed(0)
    refilled_rows_run_afresh(wrap(Custom().eval(), images[:8], T), images)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(nn.Flatten(), norse.LIFCell()), "got Sequential.forward"),
        (lambda: small(nn.ReLU()), "without any"),
        (Forgets, "starts afresh in each call"),
        (Loops, r"got 4 through cell \(LIFCell\)"),
        (Remembers, "got mean, which changed in one timestep"),
        (lambda: small(norse.LIFCell()).train(), r"call \.eval\(\) first"),
        (
            lambda: norse.SequentialState(nn.Flatten(2), nn.Linear(64, 10), norse.LIF(record_states=True)),
            r"got state\[2\]\.v, a tensor \[1, 8, 10\] without a row for each of 8 inputs",
        ),
    ],
)
def test_a_module_that_cannot_be_stepped_row_by_row_is_refused_by_name(make, message, images):
    torch.manual_seed(0)
    net = make()
    with pytest.raises(bb.InputError, match=message):
        wrap(net if "eval" in message else net.eval(), images[:8], T)


def test_a_repeat_over_time_in_one_call_is_refused(images):
    torch.manual_seed(0)
    with pytest.raises(bb.InputError, match=r"got 4 through cell \(LIF\)"):
        wrap(Repeats().eval(), images[:8], T, time_axis=None)
