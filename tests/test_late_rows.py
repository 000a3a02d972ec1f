"""Rows that stay where they were computed are those that would have been copied."""

import numpy as np
import pytest
import torch
from torch.utils import _pytree as pytree

from backbones.late_rows import LateRows


def rows_of(late, begin, end):
    return torch.cat([part for part, _ in late.parts(begin, end)])


@pytest.mark.parametrize("seed", range(5))
def test_they_are_the_rows_that_were_put_last_whenever_they_settle(seed):
    rng = np.random.default_rng(seed)
    expected = torch.arange(12.0)[:, None].repeat(1, 3)
    late, number = LateRows(expected.clone()), 100.0
    for _ in range(60):
        what = rng.integers(4)
        if what < 2:
            rows = torch.from_numpy(rng.permutation(12)[: rng.integers(1, 13)])
            rows = rows.sort().values if what else rows
            new = number + torch.arange(float(len(rows)))[:, None].repeat(1, 3)
            number += 100
            expected[rows] = new
            filled = torch.arange(len(rows) + int(rng.integers(3))).clamp(max=len(rows) - 1)
            late.put(rows[filled], new[filled])
        elif what == 2:
            late.settle()
        else:
            begin, end = sorted(rng.choice(13, 2, replace=False))
            assert torch.equal(rows_of(late, begin, end), expected[begin:end])
        assert torch.equal(rows_of(late, 0, 12), expected)
    assert torch.equal(late.whole(), expected)
    assert late.parts(0, 12)[0][0].data_ptr() == late.base.data_ptr()


def test_what_is_replaced_before_it_settles_is_never_copied():
    late = LateRows(torch.zeros(4, 1))
    late.put(torch.tensor([1, 2]), torch.ones(2, 1))
    late.settle()
    assert [is_late for _, is_late in late.parts(0, 4)] == [False, True, False]
    late.put(torch.tensor([2]), torch.full((1, 1), 2.0))
    assert late.base.sum() == 0
    late.settle()
    assert late.base.flatten().tolist() == [0, 1, 0, 0]
    assert [is_late for _, is_late in late.parts(0, 4)] == [False, True, False]
    assert rows_of(late, 0, 4).flatten().tolist() == [0, 1, 2, 0]


def test_as_a_tree_they_are_one_tensor():
    late = LateRows(torch.zeros(3, 2))
    late.put(torch.tensor([2]), torch.ones(1, 2))
    (leaf,) = pytree.tree_leaves(late)
    assert leaf.tolist() == [[0, 0], [0, 0], [1, 1]]
    picked = pytree.tree_map(lambda rows: rows[torch.tensor([2, 0])], late)
    assert picked.tolist() == [[1, 1], [0, 0]]
