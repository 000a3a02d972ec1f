"""Exported policies decide under onnxruntime as they do live."""

import inspect

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy

import backbones as bb
from agents import Confidence, Entropy, ExitNetwork, FixedTimestep, Margin, PerTimestep, classify, train
from agents.deployment.onnx import DecisionModule, export, export_policy, features
from agents.learners import LearnedPolicy
from agents.learners.perceptrons import make_perceptron
from backbones.contract import make_keys
from backbones.networks.norms import TimestepBatchNorm2d
from backbones.onnx_export import to_onnx
from seenn_env import evaluate, record
from tests.helpers.programs import load_program, needs_onnx


def learned(observation: str, columns: int) -> LearnedPolicy:
    torch.manual_seed(0)
    box = gym.spaces.Box(-20, 20, (columns,), np.float32)
    network = ActorCriticPolicy(box, gym.spaces.Discrete(2), lambda _: 0.0, net_arch=[16])
    return LearnedPolicy(network.eval(), observation, 0.5)


def valued() -> LearnedPolicy:
    torch.manual_seed(0)
    box = gym.spaces.Box(-20, 20, (6,), np.float32)
    return LearnedPolicy(DQNPolicy(box, gym.spaces.Discrete(2), lambda _: 0.0, net_arch=[16]).eval(), "features", 0.0)


def exit_network(observation: str = "features", columns: int = 6, timesteps: int = 4) -> ExitNetwork:
    tensors = make_perceptron(timesteps + columns, hidden=(16,), seed=1)
    tensors["weight_1"] = torch.randn(tensors["weight_1"].shape, generator=torch.Generator().manual_seed(0))
    tensors |= {"mean": torch.full((columns,), 0.2), "scale": torch.full((columns,), 0.5)}
    return ExitNetwork(tensors, observation, timesteps)


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
        valued(),
        exit_network(),
        exit_network("logits"),
        PerTimestep(exit_network(), (0.9, 0.5, 0.3)),
    ],
    ids=lambda policy: f"{type(policy).__name__}-{getattr(policy, 'observation', '')}",
)
def test_decisions_are_those_of_the_policy(policy, traces):
    expected = evaluate(policy, traces).exit_timesteps
    assert (exits_of(policy, traces) == expected).mean() >= 0.999


@needs_onnx
def test_under_onnxruntime_exits_are_those_of_the_live_network(tmp_path, digits, packaged):
    network = bb.load("digits")
    learned_exits = train("exact", packaged, target_timesteps=2.0, steps=100)
    folder = export(network, Margin(0.7), tmp_path / "deployed", num_slots=16)
    deploy, test = load_program("examples/deploy_onnx"), digits.test
    for policy in (Margin(0.7), learned_exits):
        if policy is learned_exits:
            export_policy(network, policy, folder, num_slots=16)
        predictions, exits = deploy.classify(folder, test.images / np.float32(255), make_keys(test.index))
        live = classify(test, network, policy, num_slots=16)
        assert (exits == live.timesteps).mean() >= 0.999
        assert (predictions == live.predictions).mean() >= 0.999
        assert 1 < exits.mean() < 8
        assert len(set(exits)) > 3


@needs_onnx
def test_under_onnxruntime_every_row_is_normalised_by_its_own_timestep(tmp_path, digits):
    shape = {"num_classes": 10, "timesteps": 3, "input_shape": (1, 8, 8), "width": 8}
    neuron = {"type": "lif", "v_threshold": 0.5}
    network = bb.build("resnet9", **shape, encoding="direct", neuron=neuron, norm="tdbn-per-timestep").train()
    for module in network.modules():
        if isinstance(module, TimestepBatchNorm2d):
            module.momentum = 1.0  # statistics of these images, so that no layer is silent
    with torch.no_grad():
        network(torch.from_numpy(digits.train.images[:256]))
    traces = record(network.eval(), digits.test)
    middle = Margin(float(np.median(traces.columns("features")[:, 0, 1])))
    folder = export(network, middle, tmp_path / "deployed", num_slots=16)
    images, keys = digits.test.images / np.float32(255), make_keys(digits.test.index)
    predictions, exits = load_program("examples/deploy_onnx").classify(folder, images, keys)
    expected = evaluate(middle, traces)
    assert (exits == expected.exit_timesteps).mean() >= 0.999
    assert (predictions == traces.predictions[np.arange(len(exits)), exits - 1]).mean() >= 0.999
    assert len(set(exits)) > 1


@needs_onnx
def test_policies_that_cannot_be_exported_are_refused_and_no_file_is_written(network, tmp_path):
    for policy, words in (
        (FixedTimestep(2), "or PerTimestep of them to export, got FixedTimestep"),
        (exit_network(timesteps=3), "Expected a policy for T = 4, the network's, got one for 3"),
        (learned("rich", 17), "'features' or 'logits' to export, got 'rich'"),
    ):
        with pytest.raises(bb.InputError, match=words):
            export(network, policy, tmp_path / "out", num_slots=2)
    with pytest.raises(bb.InputError, match="num_slots to be a whole number of 1 or more, got 0"):
        export(network, Margin(), tmp_path / "out", num_slots=0)
    with pytest.raises(bb.InputError, match="a plain network to export, got one of form"):
        export(network.optimize(), Margin(), tmp_path / "out", num_slots=2)
    assert not (tmp_path / "out").exists()


def test_without_the_extra_one_sentence_names_it(network, tmp_path, monkeypatch):
    monkeypatch.setattr("backbones.onnx_export.find_spec", lambda name: None)
    with pytest.raises(bb.InputError, match=r"pip install 'seenn-env\[onnx\]'"):
        export(network, Margin(), tmp_path / "out", num_slots=2)


@needs_onnx
def test_a_refused_file_is_not_handed_over(network, tmp_path, monkeypatch):
    def tampered(module, *arguments):
        return to_onnx(DecisionModule(Margin(0.9), module.T), *arguments)

    monkeypatch.setattr(inspect.getmodule(export), "to_onnx", tampered)
    with pytest.raises(bb.InputError, match="decides as the policy does, got one that agrees on"):
        export_policy(network, Margin(0.3), tmp_path / "out", num_slots=4)
    assert not (tmp_path / "out").exists()
