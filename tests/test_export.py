"""Export: what runs under onnxruntime decides as the live network and policy do."""

import importlib.util
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

import backbones as bb
from agents import Confidence, Entropy, FixedTimestep, LearnedPolicy, Margin, PerTimestep, classify
from agents.export import DecisionModule, export, features
from seenn_env import evaluate
from seenn_env.packaged import packaged_file

EXAMPLE = Path(__file__).parents[1] / "examples" / "deploy_onnx.py"


def learned(observation: str, columns: int) -> LearnedPolicy:
    torch.manual_seed(0)
    box = gym.spaces.Box(-20, 20, (columns,), np.float32)
    network = ActorCriticPolicy(box, gym.spaces.Discrete(2), lambda _: 0.0, net_arch=[16])
    return LearnedPolicy(network.eval(), observation, 0.5)


def exits_of(policy, traces) -> np.ndarray:
    decide, running = DecisionModule(policy, traces.timesteps), np.ones(len(traces), bool)
    logits, exits = torch.from_numpy(np.array(traces.logits)), np.zeros(len(traces), int)
    for t in range(traces.timesteps):
        leaves = decide(logits[:, t], logits[:, max(t - 1, 0)], torch.full((len(traces),), t + 1)).numpy()
        exits[running & leaves] = t + 1
        running &= ~leaves
    assert not running.any()  # at T, everybody leaves
    return exits


def test_features_in_torch_are_those_of_the_environments(traces):
    logits = torch.from_numpy(np.array(traces.logits))
    for t in range(traces.timesteps):
        timestep = torch.full((len(traces),), t + 1)
        found = features(logits[:, t], logits[:, max(t - 1, 0)], timestep, traces.timesteps)
        np.testing.assert_allclose(found.numpy(), traces.columns("features")[:, t], atol=2e-6)


@pytest.mark.parametrize(
    "policy",
    [
        Confidence(0.7),
        Entropy(0.4),
        Margin(0.5),
        PerTimestep(Margin(), (0.7, 0.5, 0.3), 0.05),
        PerTimestep(Entropy(), (0.3, 0.4, 0.5)),
        learned("features", 6),
        learned("logits", 6),
    ],
    ids=lambda policy: f"{type(policy).__name__}-{getattr(policy, 'observation', '')}",
)
def test_decisions_are_those_of_the_policy(policy, traces):
    expected = evaluate(policy, traces).exit_timesteps
    assert (exits_of(policy, traces) == expected).mean() >= 0.999


def test_under_onnxruntime_exits_are_those_of_the_live_network(tmp_path, digits):
    network = bb.load(packaged_file("backbone", "digits"))
    policy = Margin(0.7)
    folder = export(network, policy, tmp_path / "deployed", num_slots=16)
    spec = importlib.util.spec_from_file_location("deploy_onnx", EXAMPLE)
    deploy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(deploy)
    test = digits.test
    predictions, exits = deploy.classify(folder, test.images / np.float32(255), bb.make_keys(test.index))
    live = classify(test, network, policy, num_slots=16)
    assert (exits == live.timesteps).mean() >= 0.999
    assert (predictions == live.predictions).mean() >= 0.999
    assert 1 < exits.mean() < 8


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(network, tmp_path):
    for policy, words in (
        (FixedTimestep(2), "actor-critic LearnedPolicy to export, got FixedTimestep"),
        (learned("rich", 17), "'features' or 'logits' to export, got 'rich'"),
    ):
        with pytest.raises(bb.InputError, match=words):
            export(network, policy, tmp_path / "out", num_slots=2)
    with pytest.raises(bb.InputError, match="num_slots ≥ 1, got 0"):
        export(network, Margin(), tmp_path / "out", num_slots=0)
    with pytest.raises(bb.InputError, match="a plain network to export, got the form"):
        export(network.optimize(), Margin(), tmp_path / "out", num_slots=2)
    assert not (tmp_path / "out").exists()


def test_without_the_extra_one_sentence_names_it(network, tmp_path, monkeypatch):
    monkeypatch.setattr("backbones.export.find_spec", lambda name: None)
    with pytest.raises(bb.InputError, match=r"pip install 'seenn-env\[onnx\]'"):
        export(network, Margin(), tmp_path / "out", num_slots=2)
