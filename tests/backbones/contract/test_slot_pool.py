"""A slot pool: refilled rows run like fresh ones, and rows are independent."""

import warnings

import numpy as np
import pytest
import torch

import backbones as bb
from backbones.contract import run


def images(count):
    values = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return values * (values > 0.4)


def make(encoding):
    neuron = {"type": "lif", "v_threshold": 0.3}  # low: untrained networks should not be silent
    settings = {"timesteps": 4, "width": 4, "neuron": neuron, "input_shape": (1, 8, 8)}
    return bb.build("small", num_classes=10, encoding=encoding, **settings)


@pytest.fixture(params=["direct", "poisson", "latency"])
def network(request):
    return make(request.param)


def alone(network, inputs, keys, num_slots):
    """`[T, N, K]` logits of whole runs at the pool's batch shape."""
    rows = run(network, inputs.numpy(), keys.numpy(), batch_size=num_slots)
    return torch.cat([logits for _, logits in rows]).transpose(0, 1)


def test_rows_that_exit_at_random_times_have_the_logits_of_whole_runs_bit_for_bit(network):
    N, B, T = 60, 12, network.timesteps
    inputs, keys = images(N), torch.arange(N)
    expected = alone(network, inputs, keys, B)
    rng = np.random.default_rng(0)
    pool, shows, seen = bb.SlotPool(network, B), np.arange(B), 0
    pool.refill(shows, inputs[:B], keys[:B])
    fed = B
    for _ in range(40):
        logits = pool.step()
        for slot in range(B):
            assert torch.equal(logits[slot], expected[pool.timestep[slot] - 1, shows[slot]])
            seen += 1
        leave = np.flatnonzero((pool.timestep == T) | (rng.random(B) < 0.5))
        shows[leave] = (fed + np.arange(len(leave))) % N
        fed += len(leave)
        pool.refill(leave, inputs[shows[leave]], keys[shows[leave]])
    assert seen == 40 * B
    assert fed > N


def test_a_neighbour_that_is_not_finite_does_not_poison_a_row_or_its_own_slot_afterwards():
    network = make("direct")
    inputs = images(4)
    poison = torch.full_like(inputs[:1], float("inf"))
    clean, dirty = bb.SlotPool(network, 4), bb.SlotPool(network, 4)
    clean.refill(range(4), inputs)
    dirty.refill(range(4), inputs)  # the first look at the values: a refill looks no more
    dirty.refill([0], poison)
    assert torch.equal(clean.step()[1:], dirty.step()[1:])
    for pool in (clean, dirty):
        pool.refill([0], inputs[1:2])
    for _ in range(network.timesteps):
        assert torch.equal(clean.step(), dirty.step())


def test_a_size_that_rounds_otherwise_is_not_used():
    class Rounds(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x) * (1 if len(x) in (8, 24) else 1 + 2**-20)

    network = make("direct")
    network.stem = Rounds(network.stem).eval()
    pool = bb.SlotPool(network, 24)
    pool.refill(range(24), images(24))
    assert pool.sizes == (8, 24)
    pool.shrink(range(10))
    assert pool.sizes == (8, 10)


def test_slots_that_were_never_filled_do_not_matter(network):
    inputs = images(4)
    pool, whole = bb.SlotPool(network, 4), bb.SlotPool(network, 4)
    pool.refill([2], inputs[2:3])
    whole.refill(range(4), inputs, torch.zeros(4, dtype=torch.int64))
    assert torch.equal(pool.step()[2], whole.step()[2])


def test_the_tail_may_shrink_to_some_rows_in_any_order(network):
    inputs, keys = images(8), torch.arange(8)
    pool, whole = bb.SlotPool(network, 8), bb.SlotPool(network, 8)
    for one in (pool, whole):
        one.refill(range(8), inputs, keys)
        one.step()
    pool.shrink([5, 2, 7])
    assert pool.num_slots == 3
    torch.testing.assert_close(pool.step(), whole.step()[[5, 2, 7]])
    pool.refill([1], inputs[:1], keys[:1])
    assert pool.timestep.tolist() == [2, 0, 2]
    torch.testing.assert_close(pool.step()[[0, 2]], whole.step()[[5, 7]])


def test_probes_are_those_of_the_last_step():
    network, inputs = make("direct"), images(4)
    pool = bb.SlotPool(network, 4)
    pool.refill(range(4), inputs)
    pool.step()
    _, state = network.step(network.start(inputs))
    for name, values in pool.probe(["hidden", "membrane"]).items():
        assert torch.equal(values, network.probe(state)[name])


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda pool: bb.SlotPool(pool.backbone, 0), "num_slots to be a whole number of 1 or more, got 0"),
        (lambda pool: pool.step(), "call refill first"),
        (lambda pool: pool.refill([4], images(1)), r"different rows in 0…3, got \[4\]"),
        (lambda pool: pool.refill([1, 1], images(2)), r"different rows in 0…3, got \[1, 1\]"),
        (lambda pool: pool.refill([1], images(2)), "1 input for 1 row, got 2"),
        (lambda pool: pool.refill([[0], [1, 2]], images(2)), "rows as an array or a tensor of numbers, got a list"),
        (lambda pool: pool.refill([0], images(1), [0.5]), r"keys \[1\] of whole numbers, got float64 \[1\]"),
        (lambda pool: pool.shrink([]), r"rows in 0…3 to keep, at least one, got \[\]"),
    ],
)
def test_bad_calls_are_one_sentence(use, message):
    with pytest.raises(bb.InputError, match=message):
        use(bb.SlotPool(make("direct"), 4))


def test_slots_may_be_named_in_any_order():
    inputs, keys = images(6), np.arange(6)
    one, other = (bb.SlotPool(make("poisson"), 6) for _ in range(2))
    order = np.array([3, 0, 5, 1, 4, 2])
    for rows in (slice(0, 6), slice(0, 6), slice(1, 4)):  # the first filling, all slots, some of them
        one.refill(order[rows], inputs[rows], keys[rows])
        ranked = np.argsort(order[rows])
        other.refill(order[rows][ranked], inputs[rows][ranked], keys[rows][ranked])
        assert torch.equal(one.step(), other.step())


def test_arrays_that_are_read_only_are_taken_without_a_warning():
    inputs = images(4).numpy()
    inputs.flags.writeable = False
    pool = bb.SlotPool(make("direct"), 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pool.refill(range(4), inputs)
    assert pool.step().shape == (4, 10)


def test_many_rows_that_are_refilled_at_once_have_the_logits_of_a_whole_run():
    network, inputs = make("direct"), images(96)
    pool = bb.SlotPool(network, 96)
    pool.refill(range(96), inputs)
    pool.step()
    pool.refill(range(90, 0, -1), inputs[:90])
    expected = alone(network, inputs, torch.zeros(96, dtype=torch.int64), 96)
    for t in range(network.timesteps):
        logits = pool.step()
        assert torch.equal(logits[range(90, 0, -1)], expected[t, :90])
