"""State machine: a slot pool against each image run alone, under random refills, steps and shrinking."""

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import backbones as bb
from backbones import InputError
from tests.helpers.recorded import few_samples, small_backbone
from tests.helpers.searches import repeatable

B, ROWS = 3, 6
SLOTS = st.lists(st.integers(0, B - 1), min_size=1, max_size=B, unique=True)


def alone():
    """`[ROWS, T, K]` running logits of each image with its own key, run by itself."""
    network, images = small_backbone(), few_samples().images
    answers = []
    for row in range(ROWS):
        state = network.start(torch.from_numpy(images[row : row + 1]), torch.tensor([row]))
        steps = []
        for _ in range(network.timesteps):
            logits, state = network.step(state)
            steps.append(logits[0])
        answers.append(torch.stack(steps))
    return torch.stack(answers)


class Machine(RuleBasedStateMachine):
    """Each slot is an image and the steps since it was filled."""

    expected = None

    @initialize(images=st.lists(st.integers(0, ROWS - 1), min_size=B, max_size=B))
    def make(self, images):
        Machine.expected = alone() if Machine.expected is None else Machine.expected
        self.pool = bb.SlotPool(small_backbone(), B)
        self.image, self.steps = np.zeros(B, int), np.zeros(B, int)
        with pytest.raises(InputError):
            self.pool.step()
        self.fill(list(range(B)), images)

    def fill(self, slots, images):
        rows = np.array(images[: len(slots)], int)
        self.pool.refill(slots, few_samples().images[rows], rows)
        self.image[slots], self.steps[slots] = rows, 0

    @rule(slots=SLOTS, images=st.lists(st.integers(0, ROWS - 1), min_size=B, max_size=B))
    def refill(self, slots, images):
        slots = [slot for slot in slots if slot < self.pool.num_slots]
        self.fill(slots, images)

    @rule()
    def step(self):
        full = np.flatnonzero(self.steps == small_backbone().timesteps)
        self.fill(full.tolist(), [0] * B)
        logits = self.pool.step()
        self.steps += 1
        assert self.pool.timestep.tolist() == self.steps.tolist()
        torch.testing.assert_close(logits, self.expected[self.image, self.steps - 1], rtol=1e-4, atol=1e-5)

    @precondition(lambda self: self.pool.num_slots > 1)
    @rule(last=st.booleans())
    def shrink(self, last):
        rows = np.arange(self.pool.num_slots)[:-1] if last else np.arange(self.pool.num_slots)[:0:-1]
        self.pool.shrink(rows)
        self.image, self.steps = self.image[rows], self.steps[rows]

    @rule(rows=st.sampled_from([[B], [-1], [0, 0], [0.5], ["a"]]))
    def nonsense(self, rows):
        with pytest.raises(InputError):
            self.pool.refill(rows, few_samples().images[: len(rows)])


@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_the_pool_and_images_alone_agree(count):
    run_state_machine_as_test(Machine, settings=repeatable(count))
