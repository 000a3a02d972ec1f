"""Networks keep the contract of `Backbone`, and `check_backbone` names each broken promise."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import agents
import backbones as bb
import seenn_env
from backbones.contract import BackboneError, accuracy, probe_sizes, run
from backbones.networks import SpikingNetwork
from backbones.state_tree import leaves_of


def images(B: int = 8) -> torch.Tensor:
    values = torch.rand(B, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return values * (values > 0.4)


def make(encoding: str = "poisson", **settings) -> SpikingNetwork:
    neuron = {"type": "lif", "v_threshold": 0.3}  # low: untrained networks should not be silent
    settings = {"timesteps": 4, "width": 4, "neuron": neuron, **settings}
    return bb.build("small", num_classes=10, input_shape=(1, 8, 8), encoding=encoding, **settings)


@pytest.mark.parametrize("encoding", ["direct", "poisson", "latency"])
@pytest.mark.parametrize(
    "neuron", [{"type": "lif", "v_threshold": 0.3}, {"type": "if", "v_init": 0.2, "v_threshold": 0.4}]
)
@pytest.mark.parametrize("timesteps", [1, 4])
def test_networks_keep_the_contract(encoding, neuron, timesteps):
    bb.check_backbone(make(encoding, neuron=neuron, timesteps=timesteps), images())


def test_a_silent_network_is_no_evidence():
    with pytest.raises(BackboneError, match="all rows gave the same logits at every timestep: nothing"):
        bb.check_backbone(make(neuron={"type": "lif", "v_threshold": 1e6}), images())


@pytest.mark.parametrize("encoding", ["direct", "poisson", "latency"])
def test_training_form_and_stepping_give_the_same_logits(encoding):
    network, keys = make(encoding), torch.arange(8)
    outputs = network(images(), keys)
    state = network.start(images(), keys)
    for t in range(4):
        logits, state = network.step(state)
        torch.testing.assert_close(logits, outputs[: t + 1].mean(0))


def test_uint8_images_and_floats_in_0_to_1_are_the_same():
    raw = torch.randint(256, (4, 1, 8, 8), dtype=torch.uint8)
    network = make("direct", mean=0.5, std=0.25)
    assert torch.equal(network.start(raw).source, network.start(raw / 255).source)


def test_inputs_of_another_shape_and_a_network_in_training_are_refused():
    with pytest.raises(bb.InputError, match=r"inputs \[B, 1, 8, 8\], got \[2, 3, 8, 8\]"):
        make().start(torch.rand(2, 3, 8, 8))
    with pytest.raises(bb.InputError, match=r"call .eval"):
        make().train().start(images())


class Broken:
    """A correct backbone with one promise broken by a test."""

    def __init__(self) -> None:
        self.inner = make("direct")
        self.timesteps, self.num_classes = self.inner.timesteps, self.inner.num_classes
        self.device, self.fingerprint = self.inner.device, self.inner.fingerprint

    def start(self, inputs, keys=None):
        return self.inner.start(inputs, keys)

    def step(self, state):
        return self.inner.step(state)

    def refill(self, state, rows, inputs, keys=None):
        return self.inner.refill(state, rows, inputs, keys)


class RowsLeak(Broken):
    def step(self, state):
        logits, state = self.inner.step(state)
        return logits + 1e-4 * logits.mean(0), state


class NeighbourLeaks(Broken):
    def step(self, state):
        logits, state = self.inner.step(state)
        return logits + 1e-2 * logits.sum(0).max(), state


class Noisy(Broken):
    def step(self, state):
        logits, state = self.inner.step(state)
        return logits + 1e-4 * torch.rand_like(logits), state


class WrongShape(Broken):
    def step(self, state):
        logits, state = self.inner.step(state)
        return logits[:, :-1], state


class NotFinite(Broken):
    def step(self, state):
        logits, state = self.inner.step(state)
        return logits / 0, state


class StateWithoutRows(Broken):
    def start(self, inputs, keys=None):
        return {"inner": self.inner.start(inputs, keys), "clock": torch.zeros(())}

    def step(self, state):
        logits, inner = self.inner.step(state["inner"])
        return logits, {"inner": inner, "clock": state["clock"] + 1}


class StepInPlace(Broken):
    def step(self, state):
        logits, after = self.inner.step(state)
        state.readout.copy_(after.readout)
        return logits, after


class ForgetsToReset(Broken):
    def refill(self, state, rows, inputs, keys=None):
        return self.inner.refill(state, rows, inputs, keys)._replace(fresh=None)


class RefillsEverybody(Broken):
    def refill(self, state, rows, inputs, keys=None):
        everybody = torch.arange(len(state.keys))
        source = state.source.clone()
        after = self.inner.refill(state, rows, inputs, keys)
        return after._replace(source=source.index_copy(0, rows, after.source[rows])).__class__(
            *after._replace(fresh=torch.ones_like(everybody, dtype=torch.bool))
        )


class Gradients(Broken):
    def step(self, state):
        logits, state = self.inner.step(state)
        return logits.requires_grad_(), state


class Learns(Broken):
    @property
    def fingerprint(self):
        self.count = getattr(self, "count", 0) + 1
        return str(self.count)

    @fingerprint.setter
    def fingerprint(self, value):
        pass


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (RowsLeak, "rows are independent"),
        (NeighbourLeaks, "rows are independent"),
        (Noisy, "same inputs and keys must give the same logits"),
        (WrongShape, r"a tensor of logits \[B, 10\] without gradients, got float32 \[8, 9\]"),
        (NotFinite, "logits must be finite"),
        (StateWithoutRows, "leading dimension B = 8"),
        (StepInPlace, "step must not change the state that it is given"),
        (ForgetsToReset, "refilled rows must run like fresh ones"),
        (RefillsEverybody, "a refill must not change the other rows"),
        (Gradients, "without gradients, got one with gradients"),
        (Learns, "must not change its fingerprint"),
    ],
)
def test_check_backbone_names_the_promise_that_is_broken(kind, message):
    with pytest.raises(BackboneError, match=message):
        bb.check_backbone(kind(), images())


def test_states_of_a_network_are_trees_of_tensors_with_leading_dimension_b():
    network = make()
    _, state = network.step(network.start(images(5)))
    leaves = [leaf for leaf in leaves_of(state) if leaf is not None]
    assert {len(leaf) for leaf in leaves} == {5}


def test_arrays_are_taken_where_tensors_are_and_the_other_way_round(digits):
    network = make()
    images, labels, keys = digits.test.images[:6], digits.test.labels[:6], np.arange(6)
    tensors = [torch.as_tensor(given) for given in (images, labels, keys)]
    assert torch.equal(network(images, keys), network(tensors[0], tensors[2]))
    one, other = network.start(images, keys), network.start(tensors[0], tensors[2])
    _, one = network.step(network.refill(one, np.array([1, 3]), images[:2], keys[:2]))
    _, other = network.step(network.refill(other, torch.tensor([1, 3]), tensors[0][:2], tensors[2][:2]))
    assert torch.equal(one.readout, other.readout)
    assert np.array_equal(accuracy(network, images, labels, keys), accuracy(network, *tensors))
    ((_, first),), ((_, second),) = run(network, images, keys), run(network, tensors[0], tensors[2])
    assert torch.equal(first, second)
    assert probe_sizes(network, images) == probe_sizes(network, tensors[0])
    bb.check_backbone(network, images, keys)
    fast = network.optimize()
    assert torch.equal(fast.step(fast.start(images, keys))[0], fast.step(fast.start(tensors[0], tensors[2]))[0])


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"timesteps": "8"}, "Expected timesteps .*to be a whole number.*, got '8'"),
        ({"num_classes": 1}, "Expected num_classes of a Spoilt to be a whole number of 2 or more, got 1"),
        ({"num_classes": 4}, r"a tensor of logits \[B, 4\] without gradients, got float32 \["),
        ({"device": "cpu"}, "Expected device of a Spoilt to be a torch.device, got 'cpu'"),
        ({"start": lambda inputs: None}, r"Expected start\(inputs, keys\) of a Spoilt, but: too many positional"),
        ({"refill": lambda state: state}, r"Expected refill\(state, rows, inputs, keys\) of a Spoilt, but: too many"),
        ({"step": lambda state: 3}, "to return logits .* and the next state, but: cannot unpack"),
        ({"step": lambda state: (state.readout.numpy(), state)}, "without gradients, got a ndarray"),
    ],
)
def test_a_backbone_of_ones_own_that_breaks_the_protocol_is_one_sentence_everywhere(spoilt, message, digits):
    class Spoilt(Broken):
        pass

    backbone, few = Spoilt(), replace(digits.test.select(slice(8)), class_names=())
    vars(backbone).update(spoilt)
    if spoilt.keys() != {"refill"}:
        with pytest.raises(bb.InputError, match=message):
            seenn_env.record(backbone, few)
    with pytest.raises(bb.InputError, match=message):
        agents.classify(few, backbone, agents.Margin(), num_slots=2, input_shape=(1, 8, 8))
    with pytest.raises(bb.InputError, match=message):
        seenn_env.EarlyExitEnv(backbone=backbone, samples=few).reset(seed=0)
    with pytest.raises(BackboneError, match=message):
        bb.check_backbone(backbone, few.images)


@pytest.mark.parametrize("keys", [np.array(0), np.array([0.0, 1.0]), np.zeros((2, 1), int)])
def test_keys_that_are_not_whole_numbers_in_a_row_are_refused(keys):
    with pytest.raises(bb.InputError, match=r"keys \[N\] of whole numbers"):
        list(run(bb.load("digits"), bb.load_dataset("digits").test.images[:2], keys))
