"""Samples of one's own are taken as arrays or tensors, or refused; divisions of the same data are compared."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import agents
import backbones as bb
import seenn_env
from backbones.data.samples import check_division

GIVEN = {
    "images": np.zeros((6, 1, 8, 8), np.uint8),
    "labels": np.arange(6) % 3,
    "index": np.arange(6),
    "class_names": ("a", "b", "c"),
    "dataset": "mine",
    "split": "test",
}


def test_tensors_and_no_index_are_taken():
    samples = bb.Samples(
        **{
            **GIVEN,
            "images": torch.zeros(6, 1, 8, 8),
            "labels": torch.arange(6) % 3,
            "index": None,
            "class_names": list("abc"),
        }
    )
    assert isinstance(samples.images, np.ndarray)
    assert samples.labels.dtype == samples.index.dtype == np.int64
    assert samples.index.tolist() == list(range(6))
    assert samples.class_names == ("a", "b", "c")
    assert samples.select(slice(1, 3)).index.tolist() == [1, 2]
    network = bb.build("small", num_classes=3, timesteps=2, input_shape=(1, 8, 8), width=4)
    assert len(seenn_env.record(network, samples)) == 6
    assert len(agents.classify(samples, network, agents.Margin(0.5), num_slots=2).predictions) == 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": np.zeros(5)}, r"labels \[6\] of whole numbers, got \[5\]"),
        ({"labels": np.full(6, 0.5)}, r"labels \[6\] of whole numbers"),
        ({"labels": np.full(6, np.nan)}, r"labels \[6\] of whole numbers"),
        ({"labels": None}, "labels of samples as an array"),
        ({"labels": list("abcabc")}, "labels of samples as an array or a tensor of numbers"),
        ({"labels": np.full(6, 3)}, "labels in 0…2, got 3 to 3"),
        ({"labels": np.full(6, -1)}, "labels in 0…2, got -1 to -1"),
        ({"index": np.zeros((6, 1), int)}, r"index \[6\] of whole numbers, got \[6, 1\]"),
        ({"index": "abc"}, "index of samples as an array"),
        ({"images": None}, "images of samples as an array"),
        ({"images": "photos"}, "images of samples as an array"),
        ({"images": [np.zeros(3), np.zeros(4)]}, "images of samples as an array"),
        ({"images": 3}, r"images \[N, …\] of samples, got \[\]"),
        ({"class_names": 3}, "class_names as a tuple"),
        ({"class_names": "abc"}, "class_names as a tuple"),
        ({"split": "dev"}, "split, got 'dev'. Known: calibration, policy, test, train"),
        ({"split": None}, "split, got None"),
    ],
)
def test_fields_that_do_not_fit_are_one_sentence(wrong, message):
    with pytest.raises(bb.InputError, match=message):
        bb.Samples(**{**GIVEN, **wrong})


def test_other_datasets_and_unknown_divisions_are_not_compared(digits):
    mine, other = digits.division, bb.load_dataset("digits", seed=1).division
    with pytest.raises(bb.InputError, match=r"use the same seed, policy_size"):
        check_division(other, mine)
    check_division(mine, dict(mine))
    check_division(other, {**mine, "dataset": "letters"})
    check_division(other, None)
    unknown = replace(digits, train=replace(digits.train, division={}))
    assert unknown.division == {}
    check_division(unknown.division, mine)
