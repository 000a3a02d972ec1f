"""Neurons against trajectories worked out by hand, surrogates against their formulas."""

import math

import pytest
import torch

import backbones as bb
from backbones.networks.neurons.neuron import IF, LIF
from backbones.networks.neurons.surrogates import DERIVATIVES, derivative_function, spike


def run(neuron: LIF, currents: list[float]) -> tuple[list[float], list[float]]:
    current = torch.tensor(currents).view(-1, 1)
    v = neuron.initial(current[0])
    spikes, potentials = [], []
    for now in current:
        fired, v = neuron(now, v)
        spikes.append(fired.item())
        potentials.append(v.item())
    return spikes, potentials


def test_a_leaky_neuron_with_hard_reset_follows_the_trajectory_worked_out_by_hand():
    # v: 0.75; 0.375 + 0.75 = 1.125 fires, to 0; 0.5; 0.25 + 0.5 = 0.75; 0.375 + 0.5 = 0.875
    spikes, v = run(LIF(decay=0.5), [0.75, 0.75, 0.5, 0.5, 0.5])
    assert spikes == [0, 1, 0, 0, 0]
    assert v == [0.75, 0, 0.5, 0.75, 0.875]


def test_a_soft_reset_subtracts_the_threshold():
    # v: 0.75; 1.125 - 1 = 0.125; 0.0625 + 1.5 = 1.5625 - 1
    spikes, v = run(LIF(decay=0.5, v_reset=None), [0.75, 0.75, 1.5])
    assert spikes == [0, 1, 1]
    assert v == [0.75, 0.125, 0.5625]


def test_a_neuron_without_leak_keeps_its_charge_and_may_start_half_full():
    # v: ½ + ¼ = ¾; 1 + … with v_init ½: 0.75, 1.0 (> does not fire), 1.25 fires to 0.25
    spikes, v = run(IF(v_init=0.5), [0.25, 0.25, 0.25])
    assert spikes == [0, 0, 1]
    assert v == [0.75, 1.0, 0.25]


def test_a_potential_exactly_at_the_threshold_fires_only_if_inclusive():
    assert run(IF(), [1.0])[0] == [0]
    assert run(IF(inclusive=True), [1.0])[0] == [1]


def test_a_hard_reset_elsewhere_than_zero_is_also_where_the_potential_leaks_to():
    # v_reset = -0.5: starts there; -0.5 + 0.5·0 + 0.5 = 0; -0.5 + 0.5·0.5 + 1.5 = 1.25 fires to -0.5
    spikes, v = run(LIF(decay=0.5, v_reset=-0.5), [0.5, 1.5, 0.0])
    assert spikes == [0, 1, 0]
    assert v == [0, -0.5, -0.5]


def test_another_threshold_is_used_for_firing_and_for_the_soft_reset():
    spikes, v = run(IF(v_threshold=2.0), [1.5, 1.0, 1.0])
    assert spikes == [0, 1, 0]
    assert v == [1.5, 0.5, 1.5]


def test_fresh_rows_start_from_v_init_even_after_nan_and_infinity():
    neuron = LIF(decay=0.5, v_init=0.25)
    v = torch.tensor([math.nan, math.inf, 0.5])
    _, after = neuron(torch.zeros(3), v, torch.tensor([True, True, False]))
    assert after.tolist() == [0.125, 0.125, 0.25]


def test_settings_out_of_range_are_refused_in_one_sentence():
    with pytest.raises(bb.InputError, match="decay to be a number above 0 and of 1 or less, got 0"):
        LIF(decay=0)
    with pytest.raises(bb.InputError, match="v_threshold to be a number above 0, got -1"):
        LIF(v_threshold=-1)
    with pytest.raises(bb.InputError, match=r"surrogate gradient.*'step'.*Known: atan, dspike, sigmoid, triangle"):
        LIF(surrogate="step")


FORMULAS = {
    "triangle": lambda u: max(0.0, 1 - abs(u)),
    "dspike": lambda u: 3 / (2 * math.tanh(1.5) * math.cosh(3 * u) ** 2) if abs(u) <= 0.5 else 0.0,
    "atan": lambda u: 1 / (1 + (math.pi * u) ** 2),
    "sigmoid": lambda u: 4 * (s := 1 / (1 + math.exp(-4 * u))) * (1 - s),
}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_surrogate_gradients_are_their_formulas(name):
    u = torch.tensor([-2.0, -0.6, -0.3, 0.0, 0.2, 0.5, 1.5], requires_grad=True)
    spikes = spike(u, False, derivative_function(name))
    spikes.sum().backward()
    assert spikes.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert u.grad.tolist() == pytest.approx([FORMULAS[name](x) for x in u.tolist()], abs=1e-6)


def test_dspike_integrates_to_one():
    u = torch.linspace(-0.5, 0.5, 10001)
    assert torch.trapezoid(DERIVATIVES["dspike"](u), u).item() == pytest.approx(1, abs=1e-4)


def test_the_reset_can_be_left_out_of_the_gradient():
    def gradient(detach: bool) -> float:
        current = torch.tensor([1.2], requires_grad=True)
        _, v = LIF(detach_reset=detach)(current, torch.zeros(1))
        v.sum().backward()
        return current.grad.item()

    # v = 1.2·(1 - s); with the reset dv/dx = (1 - s) - 1.2·s', s' = 1 - 0.2
    assert gradient(detach=True) == 0
    assert gradient(detach=False) == pytest.approx(-1.2 * 0.8)
