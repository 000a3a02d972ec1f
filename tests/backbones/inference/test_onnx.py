"""Export: what runs under onnxruntime decides as the live network and policy do."""

import copy
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import nn

import backbones as bb
from agents import Confidence, Entropy, ExitNetwork, FixedTimestep, Margin, PerTimestep, classify, train
from agents.deployment.onnx import DecisionModule, export, export_policy, features
from agents.learners import LearnedPolicy
from agents.learners.perceptrons import make_perceptron
from backbones.contract import make_keys
from backbones.conversion.converter import convert
from backbones.inference.onnx import check_files, export_network, runner, to_onnx
from backbones.networks import SpikingNetwork
from backbones.networks.norms import TimestepBatchNorm2d
from seenn_env import evaluate, record
from seenn_env.traces.packaged import packaged_file
from tests.helpers.programs import load_program


def learned(observation: str, columns: int) -> LearnedPolicy:
    torch.manual_seed(0)
    box = gym.spaces.Box(-20, 20, (columns,), np.float32)
    network = ActorCriticPolicy(box, gym.spaces.Discrete(2), lambda _: 0.0, net_arch=[16])
    return LearnedPolicy(network.eval(), observation, 0.5)


def valued() -> LearnedPolicy:
    torch.manual_seed(0)
    box = gym.spaces.Box(-20, 20, (6,), np.float32)
    return LearnedPolicy(DQNPolicy(box, gym.spaces.Discrete(2), lambda _: 0.0, net_arch=[16]).eval(), "features", 0.0)


def exit_network(observation: str = "features", columns: int = 6, cost: float | None = None) -> ExitNetwork:
    inputs = 4 + columns + (cost is not None)
    tensors = make_perceptron(inputs, hidden=(16,), seed=1)
    tensors["weight_1"] = torch.randn(tensors["weight_1"].shape, generator=torch.Generator().manual_seed(0))
    tensors |= {"mean": torch.full((columns,), 0.2), "scale": torch.full((columns,), 0.5)}
    return ExitNetwork(tensors, observation, 4, cost=cost)


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
        exit_network(cost=0.1),
        PerTimestep(exit_network(), (0.9, 0.5, 0.3)),
    ],
    ids=lambda policy: f"{type(policy).__name__}-{getattr(policy, 'observation', '')}",
)
def test_decisions_are_those_of_the_policy(policy, traces):
    expected = evaluate(policy, traces).exit_timesteps
    assert (exits_of(policy, traces) == expected).mean() >= 0.999


def test_under_onnxruntime_exits_are_those_of_the_live_network(tmp_path, digits, packaged):
    network = bb.load(packaged_file("backbone", "digits"))
    learned_exits = train("exact", packaged, target_timesteps=2.0, steps=100)
    folder = export(network, Margin(0.7), tmp_path / "deployed", num_slots=16)
    deploy, test = load_program("examples/deploy_onnx"), digits.test
    for policy in (Margin(0.7), learned_exits):
        export_policy(network, policy, folder, num_slots=16)
        predictions, exits = deploy.classify(folder, test.images / np.float32(255), make_keys(test.index))
        live = classify(test, network, policy, num_slots=16)
        assert (exits == live.timesteps).mean() >= 0.999
        assert (predictions == live.predictions).mean() >= 0.999
        assert 1 < exits.mean() < 8
        assert len(set(exits)) > 3


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


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(network, tmp_path):
    for policy, words in (
        (FixedTimestep(2), "or PerTimestep of them to export, got FixedTimestep"),
        (replace(exit_network(), timesteps=3), "Expected a policy for T = 4, the network's, got one for 3"),
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
    monkeypatch.setattr("backbones.inference.onnx.find_spec", lambda name: None)
    with pytest.raises(bb.InputError, match=r"pip install 'seenn-env\[onnx\]'"):
        export(network, Margin(), tmp_path / "out", num_slots=2)


@pytest.fixture(scope="module")
def of_pools() -> SpikingNetwork:
    """A network of average pools with every setting, and channels of odd numbers."""
    torch.manual_seed(1)
    pools = (
        nn.AvgPool2d(3, 2, divisor_override=4),
        nn.AvgPool2d(3, 1, padding=1, ceil_mode=True, divisor_override=5),
        nn.AvgPool2d((3, 2), (2, 2), padding=(1, 0), ceil_mode=True, count_include_pad=False),
        nn.AvgPool2d(3, 3, ceil_mode=True),
    )
    layers = [part for pool in pools for part in (nn.Conv2d(7, 7, 3, padding=1), nn.ReLU(), pool)]
    module = nn.Sequential(nn.Conv2d(3, 7, 3), nn.ReLU(), *layers, nn.Flatten(), nn.Linear(14, 5))
    images = torch.randint(256, (8, 3, 19, 15), dtype=torch.uint8)
    return convert(module.eval(), images, timesteps=3)


@pytest.fixture(scope="module")
def folder_of_pools(of_pools, tmp_path_factory) -> Path:
    return export(of_pools, Margin(0.3), tmp_path_factory.mktemp("pools") / "out", num_slots=4)


def models(folder: Path):
    return [runner((folder / f"{name}.onnx").read_bytes()) for name in ("start", "step")]


@pytest.mark.parametrize("runtime", ["onnxruntime", "onnx"])
def test_pools_are_exported_with_all_their_settings(runtime, of_pools, folder_of_pools, monkeypatch):
    if runtime == "onnx":
        monkeypatch.setattr("backbones.inference.onnx.find_spec", lambda name: None if name == "onnxruntime" else name)
    files = {path.name for path in folder_of_pools.iterdir()}
    assert files == {"network.json", "policy.onnx", "start.onnx", "step.onnx"}
    assert json.loads((folder_of_pools / "network.json").read_text())["fingerprint"] == of_pools.fingerprint
    start, step = models(folder_of_pools)
    images = torch.rand(4, 3, 19, 15, generator=torch.Generator().manual_seed(0))
    state = of_pools.start(images)
    _, shapes = of_pools.step(state)
    values = {name: getattr(state, name) for name in ("keys", "timestep", "readout")}
    values |= {f"membrane_{layer}": torch.zeros_like(v) for layer, v in enumerate(shapes.membranes)}
    values |= {"source": start({"images": images})[0], "fresh": torch.ones(4, dtype=torch.bool)}
    for _ in range(3):
        wanted, state = of_pools.step(state)
        found, timestep, readout, *membranes = step(values)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        values |= {"timestep": timestep, "readout": readout, "fresh": torch.zeros(4, dtype=torch.bool)}
        values |= {f"membrane_{layer}": v for layer, v in enumerate(membranes)}


def change_mean(network):
    network.mean += 0.01


def change_pool(network):
    (last,) = (
        module
        for module in network.modules()
        if isinstance(module, nn.AvgPool2d) and module.kernel_size == 3 and module.stride == 3
    )
    last.divisor_override = 8


def change_weight(network):
    network.head.layers["_15"].weight.data[0] += 0.1


def change_threshold(network):
    neuron = [module for module in network.modules() if isinstance(module, bb.LIF)][-1]
    neuron.v_threshold = neuron.height = neuron.v_threshold * 1.01


@pytest.mark.parametrize("change", [change_mean, change_pool, change_weight, change_threshold])
def test_files_that_compute_something_else_are_refused(change, of_pools, folder_of_pools):
    check_files(of_pools, 4, *models(folder_of_pools))
    other = copy.deepcopy(of_pools)
    change(other)
    with pytest.raises(bb.InputError, match="compute what the network does, got others"):
        check_files(other, 4, *models(folder_of_pools))


def test_a_refused_file_is_not_handed_over(of_pools, tmp_path, monkeypatch):
    def tampered(module, *arguments):
        return to_onnx(DecisionModule(Margin(0.9), module.T), *arguments)

    monkeypatch.setattr(importlib.import_module("agents.deployment.onnx"), "to_onnx", tampered)
    with pytest.raises(bb.InputError, match="decides as the policy does, got one that agrees on"):
        export_policy(of_pools, Margin(0.3), tmp_path / "out", num_slots=4)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_exported_is_one_sentence(of_pools, tmp_path, monkeypatch):
    for what, settings, message in (
        (nn.Linear(3, 2), {"num_slots": 2}, "that `build` or `convert` made to export, got Linear"),
        (of_pools, {"num_slots": 1.5}, r"num_slots ≥ 1, got 1\.5"),
        (of_pools, {"num_slots": "many"}, "num_slots ≥ 1, got 'many'"),
    ):
        with pytest.raises(bb.InputError, match=message):
            export(what, Margin(), tmp_path / "out", **settings)

    def broken(*arguments, **settings):
        raise RuntimeError("no such operator.\nAnd much more.")

    monkeypatch.setattr("torch.onnx.export", broken)
    with pytest.raises(bb.InputError, match=r"layers that torch.onnx can export, but: no such operator\.$"):
        export(of_pools, Margin(), tmp_path / "out", num_slots=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow  # seconds of torch's exporter
def test_networks_of_frames_are_exported_and_the_callers_own_mode_stays(tmp_path):
    network = bb.build("small", num_classes=3, timesteps=3, encoding="event", input_shape=(2, 8, 8), width=4).train()
    export_network(network, tmp_path / "out", num_slots=2)
    assert network.training
    assert json.loads((tmp_path / "out" / "network.json").read_text())["input_shape"] == [3, 2, 8, 8]
