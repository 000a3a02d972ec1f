"""A name that is chosen out of a table is answered with the nearest known one, in any case of its letters."""

import gymnasium as gym
import pytest

import agents
import backbones
import seenn_env
from backbones import InputError
from backbones.errors import did_you_mean
from seenn_env import Traces
from tests.helpers.commands import refused
from tests.helpers.recorded import few_samples, small_backbone
from tests.helpers.traces import make_traces


def make(**options):
    return gym.make("seenn_env/EarlyExit-v0", **options)


def make_vec(**options):
    return gym.make_vec("seenn_env/EarlyExit-v0", num_envs=2, **options)


def build(**options):
    return backbones.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), **options)


def options_of_ppo():
    return agents.train("ppo", make_traces(50), gama=1.0)


NAMES = {
    "EarlyExitEnv, got 'trace'": (lambda: make(trace="digits"), "traces"),
    "EarlyExitVectorEnv, got 'trace'": (lambda: make_vec(trace="digits"), "traces"),
    "LiveVectorEnv, got 'smaples'": (
        lambda: seenn_env.LiveVectorEnv(2, backbone=small_backbone(), smaples=few_samples()),
        "samples",
    ),
    "argument of calibrate, got 'target_timestep'": (
        lambda: agents.calibrate(agents.Margin(), make_traces(20), target_timestep=1.5),
        "target_timesteps",
    ),
    "option of the reward 'linear', got 'cst'": (lambda: seenn_env.make_reward("linear", {"cst": 1}), "cost"),
    "reward, got 'Linear'": (lambda: seenn_env.make_reward("Linear"), "linear"),
    "observation, got 'Features'": (lambda: make(observation="Features"), "features"),
    "algorithm, got 'Recurrent-PPO'": (lambda: agents.train("Recurrent-PPO", make_traces(20)), "recurrent-ppo"),
    "argument of PPO, got 'gama'": (options_of_ppo, "gamma"),
    "setting of 'exact', got 'step'": (lambda: agents.train("exact", make_traces(50), step=9), "steps"),
    "packaged policy .*, got 'cifar10-jpg/ppo'": (lambda: agents.load("cifar10-jpg/ppo"), "cifar10-jpeg/ppo"),
    "recording .*, got 'Digits'": (lambda: Traces.load("Digits"), "digits"),
    "backbone .*, got 'digit'": (lambda: backbones.load("digit"), "digits"),
    "split, got 'tset'": (lambda: make_traces(20).select("tset"), "test"),
    "policy as a rival, got 'margn'": (
        lambda: agents.compare({"margin": agents.Margin()}, make_traces(20, split="test"), rivals=["margn"]),
        "margin",
    ),
    "neuron, got 'LIFF'": (lambda: build(neuron="LIFF"), "lif"),
    "argument of LIF, got 'decy'": (lambda: build(neuron={"type": "lif", "decy": 0.5}), "decay"),
    "option of network 'small', got 'wdth'": (lambda: build(wdth=3), "width"),
}


@pytest.mark.parametrize("what", NAMES)
def test_the_nearest_name_is_suggested(what):
    call, nearest = NAMES[what]
    with pytest.raises(InputError, match=rf"{what}\..*Did you mean '{nearest}'\?$"):
        call()


@pytest.mark.parametrize(("package", "name"), [(agents, "confidence"), (backbones, "buidl"), (seenn_env, "EarlyExit")])
def test_a_door_suggests_its_nearest_name(package, name):
    nearest = {"confidence": "Confidence", "buidl": "build", "EarlyExit": "EarlyExitEnv"}[name]
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'. Did you mean '{nearest}'"):
        getattr(package, name)


def test_nothing_is_suggested_where_nothing_is_near():
    assert did_you_mean("zebra", ["ppo", "dqn"]) == ""


def test_a_class_in_place_of_a_policy_is_named_as_one():
    traces = make_traces(20, split="test")
    for call in (
        lambda: seenn_env.evaluate(agents.Confidence, traces),
        lambda: agents.compare({"a": agents.Confidence}, traces),
        lambda: agents.classify(few_samples(), small_backbone(), agents.Confidence),
    ):
        with pytest.raises(InputError, match=r"Expected a policy, got the class Confidence: make one, such as Conf"):
            call()
    with pytest.raises(InputError, match=r"policy to be a .*, got the class Confidence\.$"):
        agents.save(agents.Confidence, "unused.safetensors")


def test_a_zip_in_place_of_a_policy_is_sent_to_load_sb3(tmp_path):
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    model = stable_baselines3.PPO("MlpPolicy", make(), n_steps=8, batch_size=8, device="cpu")
    model.save(tmp_path / "model.zip")
    with pytest.raises(InputError, match=r"got the zip .*model\.zip: .* agents\.learners\.load_sb3"):
        agents.load(tmp_path / "model.zip")


def test_a_row_out_of_range_is_called_a_row(capsys):
    message = refused(capsys, "watch", "--traces", "digits", "--row", 100_000)
    assert "Expected a row of split test in 0…4969, got 100000 (--row)." in message
