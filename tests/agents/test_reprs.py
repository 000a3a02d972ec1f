"""The representations of results and policies are one line each, whatever arrays and networks they hold."""

import dataclasses

import numpy as np
import pytest
import torch

import agents
from agents.comparison import Clusters, headroom, matched_curve
from agents.policies import RULES
from backbones.one_line import one_line
from seenn_env import evaluate
from tests.helpers.recorded import few_samples, small_backbone
from tests.helpers.traces import make_traces


def test_arrays_are_shown_by_type_and_shape_and_long_values_by_their_type():
    @dataclasses.dataclass
    class Mixed:
        array: np.ndarray
        tensor: torch.Tensor
        tensors: dict
        network: torch.nn.Module
        numbers: tuple
        share: float
        hidden: int = dataclasses.field(default=1, repr=False)

        __repr__ = one_line

    network = torch.nn.Sequential(torch.nn.Linear(2, 2))
    mixed = Mixed(
        np.zeros((2, 3)), torch.zeros(4), {"a": torch.ones(1, 2)}, network, tuple(range(9)), np.float64(1 / 3)
    )
    assert repr(mixed) == (
        "Mixed(array=float64[2, 3], tensor=float32[4], tensors={'a': float32[1, 2]}, network=Sequential(…), "
        "numbers=(0, 1, 2, 3, …), share=0.333333)"
    )


def test_an_evaluation_shows_its_accuracy_with_an_interval_its_timesteps_and_its_size():
    traces = make_traces(200, T=4)
    result = evaluate(agents.Margin(), traces)
    low, high = result.accuracy_interval
    assert repr(result) == (
        f"Evaluation(accuracy={result.accuracy:.4f} [{low:.4f}, {high:.4f}], mean_timesteps="
        f"{result.mean_timesteps:.3f} of 4, split={traces.split!r}, rows=200, samples=200)"
    )


@pytest.fixture(scope="module")
def shown():
    traces = make_traces(200, T=4)
    policies = [agents.train("exact", traces, steps=2), agents.train("optimal-stopping", traces)]
    policies.append(agents.train("ppo", traces, total_timesteps=16))
    policies += [agents.calibrate(rule, traces, target_timesteps=1.5) for rule in RULES.values()]
    clusters = Clusters(traces.sample)
    curve = matched_curve({1.2: agents.Margin(), 1.5: agents.Margin()}, traces, clusters)
    return [
        *policies,
        agents.compare({"margin": agents.Margin(0.9), "exact": policies[0]}, traces),
        evaluate(agents.Margin(), traces),
        headroom(traces, targets=(1.5,)),
        curve,
        curve.over(curve),
        agents.classify(few_samples(), small_backbone(), agents.Margin(0.7), num_slots=8),
        few_samples(),
    ]


def test_every_result_and_policy_is_one_line(shown):
    for each in shown:
        text = repr(each)
        assert "\n" not in text, type(each).__name__
        assert len(text) < 500, type(each).__name__
        assert text.startswith(type(each).__name__)
