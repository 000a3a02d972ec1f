"""snnTorch's modules whose states are passed by hand. Needs the extra `snntorch`: `make test-adapters` runs this."""

import pytest

pytest.importorskip("snntorch", reason="the extra 'snntorch' is optional: make test-adapters")

import snntorch as snn
import torch
from torch import nn

import backbones as bb
from backbones.adapters import wrap
from tests.helpers.adapted import T, logits, refilled_rows_run_afresh, running_mean


class ByHand(nn.Module):
    """The framework's commonest style: `forward` takes the states and gives them back, in some order and form."""

    def __init__(self, form="in order"):
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1 = nn.Linear(64, 48), snn.Leaky(beta=0.8, threshold=0.3)
        self.fc2, self.lif2 = nn.Linear(48, 10), snn.Leaky(beta=0.9, threshold=0.3)
        self.form = form
        if form.startswith("state"):
            self.forward = self.whole if form == "state" else self.begun
        self.eval()

    def layers(self, images, mem1, mem2):
        spk1, mem1 = self.lif1(3 * self.fc1(images.flatten(1)), mem1)
        spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
        return spk2, mem1, mem2

    def forward(self, images, mem1, mem2):
        spikes, mem1, mem2 = self.layers(images, mem1, mem2)
        return {
            "in order": (spikes, mem1, mem2),
            "swapped": (spikes, mem2, mem1),
            "last": (mem1, mem2, spikes),
            "one lost": (spikes, mem2),
            "none": spikes,
        }[self.form]

    def whole(self, images, state):
        mem1, mem2 = state
        spikes, *state = self.layers(images, mem1, mem2)
        return spikes, tuple(state)

    def begun(self, images, state=None):
        """Starts the first layer above its reset value."""
        mem1, mem2 = (torch.full((len(images), 48), 0.2), self.lif2.reset_mem()) if state is None else state
        spikes, *state = self.layers(images, mem1, mem2)
        return spikes, state

    def own(self, images):
        mem1 = torch.full((len(images), 48), 0.2) if self.form == "state, begun" else self.lif1.reset_mem()
        mem2, found = self.lif2.reset_mem(), []
        with torch.no_grad():
            for _ in range(T):
                spikes, mem1, mem2 = self.layers(images, mem1, mem2)
                found.append(spikes)
        return torch.stack(found)


@pytest.mark.parametrize("form", ["in order", "swapped", "last", "state", "state, begun"])
def test_states_passed_by_hand_are_carried_along_with_the_rows(form, images):
    net = ByHand(form)
    expected = running_mean(net.own(images / 255))
    backbone = wrap(net, images[:8], T)
    assert torch.equal(logits(backbone, images), expected)
    refilled_rows_run_afresh(backbone, images)


class SharedNeuron(ByHand):
    """One layer without weights for two places, each with a state of its own."""

    def layers(self, images, mem1, mem2):
        spk1, mem1 = self.lif1(3 * self.fc1(images.flatten(1)), mem1)
        spk2, mem2 = self.lif1(3 * spk1[:, :10], mem2)
        return spk2, mem1, mem2


def test_one_neuron_at_two_places_is_one_timestep(images):
    refilled_rows_run_afresh(wrap(SharedNeuron(), images[:8], T), images)


class Documented(nn.Module):
    """As in the framework's documentation of `Synaptic`, with a state that nothing reads."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc1, self.lif1 = nn.Linear(64, 48), snn.Synaptic(alpha=0.9, beta=0.8, threshold=0.3)
        self.fc2, self.lif2 = nn.Linear(48, 10), snn.Synaptic(alpha=0.9, beta=0.8)

    def forward(self, x, syn1, mem1, spk1, syn2, mem2):
        spk1, syn1, mem1 = self.lif1(self.fc1(x.flatten(1)), syn1, mem1)
        spk2, syn2, mem2 = self.lif2(self.fc2(spk1), syn2, mem2)
        return syn1, mem1, spk1, syn2, mem2, spk2


def test_the_output_is_chosen_among_values_that_are_no_state(images):
    with pytest.raises(bb.InputError, match="got 2 of 6 values: choose it by output="):
        wrap(Documented().eval(), images[:8], T)
    backbone = wrap(Documented().eval(), images[:8], T, output=lambda given: given[-1])
    assert backbone.num_classes == 10
    refilled_rows_run_afresh(backbone, images)


class Named(Documented):
    """Gives its layers their states by name, in another order than they take them."""

    def forward(self, x, mem2, syn1, mem1, syn2):
        spk1, syn1, mem1 = self.lif1(self.fc1(x.flatten(1)), mem=mem1, syn=syn1)
        spk2, syn2, mem2 = self.lif2(self.fc2(spk1), mem=mem2, syn=syn2)
        return spk2, mem2, syn1, mem1, syn2


def test_states_given_by_name_are_not_mixed_up(images):
    net, states, found = Named().eval(), [torch.zeros(0)] * 4, []
    with torch.no_grad():
        for _ in range(T):
            spikes, *states = net(images / 255, *states)
            found.append(spikes)
    assert torch.equal(logits(wrap(net, images[:8], T), images), running_mean(torch.stack(found)))


class Tutorial(ByHand):
    """All timesteps in one call, their states by hand."""

    def forward(self, images):
        return self.own(images)


class Numbered(ByHand):
    def forward(self, images, num_steps):
        return torch.stack([self.own(images)[step] for step in range(num_steps)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ByHand("one lost"), "without the next mem1: end forward with `return spikes, mem1, mem2`, or let"),
        (lambda: ByHand("none"), "to give back the state that it takes .mem1, mem2., got Tensor: end forward with"),
        (Tutorial, r"got 4 through lif1 \(Leaky\).* remove the loop or the repeat over time"),
        (Numbered, "Take numbers of timesteps and options out of forward"),
    ],
)
def test_a_state_that_is_not_returned_is_refused_with_its_cause_and_remedy(make, message, images):
    with pytest.raises(bb.InputError, match=message):
        wrap(make(), images[:8], T)
