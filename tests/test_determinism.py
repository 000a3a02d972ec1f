"""One seed gives one result: bit for bit at one thread count, and of learners and comparisons at any."""

import numpy as np
import pytest

from backbones.machine import torch_threads
from tests.helpers.outputs import OUTPUTS, outputs
from tests.helpers.programs import run_python

PINNED = [name for name in OUTPUTS if name.split()[0] in ("train", "evaluate", "compare")]
"""Computed by NumPy, or on one torch thread whatever the process has."""


def test_learners_and_comparisons_are_those_of_any_thread_count_bit_for_bit():
    found = []
    for threads in (1, 2):
        with torch_threads(threads):
            found.append(outputs(["train exact", "train optimal-stopping", "evaluate", "compare"]))
    assert [name for name, value in found[0].items() if not np.array_equal(value, found[1][name])] == []


@pytest.mark.slow
def test_one_thread_count_gives_everything_again_and_another_the_same_but_for_roundings(tmp_path):
    found = {}
    for threads in (1, 2, 4):
        with torch_threads(threads):
            found[threads] = outputs()
    for threads in (1, 2, 4):  # as many as the machine has cores, where that is fewer
        options = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        run_python("-m", "tests.helpers.outputs", tmp_path / "other.npz", **options)
        other = np.load(tmp_path / "other.npz")
        own = found[int(other["threads"])]
        assert [name for name in OUTPUTS if not np.array_equal(own[name], other[name])] == []
    for name in OUTPUTS:
        one, two, four = (found[threads][name] for threads in (1, 2, 4))
        equal = [np.array_equal(a, b) for a, b in ((one, two), (one, four), (two, four))]
        differences = [np.abs(one - other) for other in (two, four)] if len(one) == len(two) == len(four) else []
        print(f"{name}: 1 = 2, 1 = 4, 2 = 4: {equal}, largest {max((d.max() for d in differences), default=0):.2g}")
        if name in PINNED:
            assert all(equal), name
        else:
            assert all((difference > 1e-3).mean() <= 0.001 for difference in differences), name
