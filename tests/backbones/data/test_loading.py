"""Splits are disjoint, seeded and stratified."""

import numpy as np
import pytest

import backbones as bb
from backbones.data import SPLITS
from backbones.data.loading import stratified_split


def test_the_splits_of_digits_are_disjoint_and_hold_all_images(digits):
    index = np.concatenate([digits[name].index for name in SPLITS])
    assert sorted(index) == list(range(1797))
    assert [len(digits[name]) for name in SPLITS] == [700, 300, 300, 497]


def test_every_class_is_in_every_split_in_proportion(digits):
    for name in SPLITS:
        counts = np.bincount(digits[name].labels, minlength=10)
        assert counts.max() - counts.min() <= 3
        assert counts.sum() == len(digits[name])


def test_a_seed_gives_the_same_splits_and_another_seed_others():
    one, two, other = (bb.load_dataset("digits", seed=seed).test.index for seed in (0, 0, 1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_some_of_a_split_are_spread_over_all_of_it(digits):
    names = digits.test.evenly(10).index
    assert len(names) == 10
    assert names[0] == digits.test.index[0]
    assert set(np.diff(np.searchsorted(digits.test.index, names))) <= {49, 50}
    assert np.array_equal(digits.test.evenly(10**6).index, digits.test.index)


def test_images_are_the_datasets_own(digits):
    from sklearn.datasets import load_digits

    raw = load_digits()
    samples = digits.policy
    assert samples.images.dtype == np.uint8
    assert np.array_equal(np.rint(samples.images[:, 0] * (16 / 255)), raw.images[samples.index])
    assert np.array_equal(samples.labels, raw.target[samples.index])


def test_too_few_images_and_unknown_names_are_refused(digits):
    with pytest.raises(bb.InputError, match="at least 12 images for the splits, got 10"):
        stratified_split(np.zeros(10), {"train": 6, "test": 6}, 0)
    with pytest.raises(bb.InputError, match=r"dataset, got 'cifar'. Known: .*digits"):
        bb.load_dataset("cifar")
    with pytest.raises(bb.InputError, match=r"split, got 'validation'. Known: calibration, policy, test, train"):
        digits["validation"]
