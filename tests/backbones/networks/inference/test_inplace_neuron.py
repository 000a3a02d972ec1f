"""A neuron's timestep in place is that of the neuron."""

import pytest
import torch

from backbones.networks.inference.inplace_neuron import InPlaceFire
from backbones.networks.neurons.neuron import IF, LIF, PLIF

NEURONS = [
    LIF(0.5, 0.8),
    LIF(0.7, 1.0, None),
    LIF(0.6, 0.9, -0.2),
    LIF(0.5, 0.8, inclusive=True),
    IF(0.4, v_init=0.2),
    PLIF(0.3, 0.8),
]


@pytest.mark.parametrize("neuron", NEURONS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("together", [2 * 48, 10**9])
def test_a_timestep_in_place_is_that_of_the_neuron(neuron, dtype, layout, together, monkeypatch):
    monkeypatch.setattr("backbones.networks.inference.inplace_neuron._TOGETHER", together)
    generator = torch.Generator().manual_seed(0)
    currents = [torch.randn(6, 3, 4, 4, generator=generator).to(dtype).to(memory_format=layout) for _ in range(5)]
    fresh = torch.tensor([True, True, False, False, True, False])
    expected = neuron.initial(currents[0].float())
    membranes, total = [], 0
    with torch.no_grad():
        for t, current in enumerate(currents):
            mask = fresh if t == 3 else None
            spikes, expected = neuron(current.float(), expected, mask)
            keep = current if t % 2 else None
            before = current.clone()
            got = InPlaceFire(membranes, 6, slice(0, 6), mask, keep=keep)(neuron, current)
            assert torch.equal(got.float(), spikes)
            assert got.dtype == dtype
            assert (got is current) == (keep is None)
            assert keep is None or torch.equal(current, before)
            torch.testing.assert_close(membranes[0], expected)
            total += spikes.sum()
    assert 0 < total < 6 * 48 * 5


def test_fresh_rows_start_from_the_initial_potential_after_any_other():
    neuron = IF(1.0, v_init=0.5)
    membranes = [torch.full((4, 2), float("nan"))]
    membranes[0][2] = 0.25
    fresh = torch.tensor([True, True, False, True])
    InPlaceFire(membranes, 4, slice(0, 4), fresh)(neuron, torch.zeros(4, 2))
    assert membranes[0].tolist() == [[0.5, 0.5], [0.5, 0.5], [0.25, 0.25], [0.5, 0.5]]


def test_a_neuron_with_dynamics_of_its_own_keeps_them():
    class Doubles(LIF):
        def charge(self, current, v):
            return v + 2 * current

    membranes = [torch.zeros(1, 1)]
    spikes = InPlaceFire(membranes, 1, slice(0, 1), None)(Doubles(), torch.full((1, 1), 0.75))
    assert spikes.item() == 1
    assert membranes[0].item() == 0
