"""Value-based and recurrent policies have a score, learn trivial traces, and are saved without pickle."""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DQN, PPO

from agents import calibrate, classify, compare, load, save, train
from agents.calibration.costs import energy_costs, own_energy
from agents.learners import LearnedPolicy, load_sb3
from agents.learners.sb3.presets import PRESETS
from agents.learners.sb3.training import make_model
from backbones import InputError
from backbones.energy import EnergyModel
from backbones.machine import torch_threads
from seenn_env import ChooseTimestepVectorEnv, EarlyExitEnv, EarlyExitVectorEnv, evaluate, to_sb3
from tests.helpers.recorded import few_samples, full_traces, small_backbone
from tests.helpers.traces import make_traces, trivial

MAC_PJ = EnergyModel().pj_per_mac

FEW = {
    "ppo": {"num_envs": 64},
    "a2c": {"num_envs": 64},
    "dqn": {"num_envs": 64, "learning_starts": 500, "buffer_size": 20_000, "target_update_interval": 500},
    "qrdqn": {"num_envs": 64, "learning_starts": 500, "buffer_size": 20_000, "target_update_interval": 500},
    "recurrent-ppo": {"num_envs": 64, "batch_size": 512},
}


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("qrdqn", "recurrent-ppo")]


@pytest.mark.parametrize("algorithm", ["a2c", "dqn", *SLOW])
def test_every_algorithm_learns_to_wait_for_the_right_answer_and_comes_back_from_a_file(algorithm, tmp_path):
    traces = trivial(3)
    policy = train(algorithm, traces, total_timesteps=15_000, **FEW[algorithm])
    found = evaluate(policy, traces)
    assert found.accuracy > 0.97
    assert policy.settings["algorithm"] == algorithm
    again = load(save(policy, tmp_path / "policy.safetensors"))
    assert isinstance(again, LearnedPolicy)
    assert again.threshold == policy.threshold
    assert np.array_equal(evaluate(again, traces).exit_timesteps, found.exit_timesteps)


@pytest.mark.parametrize("algorithm", list(PRESETS))
def test_every_algorithm_is_calibrated_to_any_target(algorithm):
    traces = make_traces(800, split="policy")
    policy = train(algorithm, traces, total_timesteps=1500, **FEW[algorithm])
    calibration = make_traces(800, split="calibration", seed=1)
    found = calibrate(policy, calibration, target_timesteps=1.6)
    assert evaluate(found, calibration).mean_timesteps == pytest.approx(1.6, abs=0.01)


def test_the_score_of_a_value_based_policy_is_the_gap_of_its_values():
    traces = make_traces(100)
    policy = train("dqn", traces, total_timesteps=300, num_envs=32, buffer_size=1000)
    observation = traces.columns("features")[:, 0]
    values = policy.network.q_net(torch.from_numpy(observation)).detach().numpy()
    assert policy.score(observation) == pytest.approx(values[:, 1] - values[:, 0])
    assert policy.threshold == 0
    actions, _ = policy.predict(observation)
    assert np.array_equal(actions, values.argmax(1))


def with_energy(traces):
    """A timestep costs about five times a decision of 4,608 multiplications."""
    energy = np.arange(1, traces.timesteps + 1, dtype=np.float32) * 1e5
    return replace(traces, energy_pj=np.tile(energy, (len(traces), 1)))


MULTIPLICATIONS = {
    "ppo": lambda F: F * 64 + 64 * 64 + 64 * 2,
    "a2c": lambda F: F * 64 + 64 * 64 + 64 * 2,
    "dqn": lambda F: F * 64 + 64 * 64 + 64 * 2,
    "qrdqn": lambda F: F * 64 + 64 * 64 + 64 * 2 * 25,
    "recurrent-ppo": lambda F: 4 * 32 * (F + 32) + 32 * 32 + 32 * 2,
}


@pytest.mark.parametrize("algorithm", list(PRESETS))
def test_a_policy_counts_the_multiplications_of_a_decision_and_pays_for_them(algorithm, tmp_path):
    traces = with_energy(make_traces(60))
    with torch_threads(1):
        model = make_model(algorithm, traces, **{**FEW[algorithm], "num_envs": 1})
    policy = LearnedPolicy.of(model, observation="features")
    wanted = MULTIPLICATIONS[algorithm](traces.columns("features").shape[-1])
    assert policy.macs == wanted
    assert load(save(policy, tmp_path / "policy.safetensors")).macs == wanted
    decisions = np.array([1, 2, 3, 3])  # T = 4: there is none at T
    assert np.array_equal(own_energy(policy, 4), wanted * MAC_PJ * decisions)
    assert np.allclose(energy_costs(policy, traces) - traces.energy_pj, wanted * MAC_PJ * decisions)


def test_a_target_in_energy_has_room_for_the_policys_own():
    traces = with_energy(make_traces(800, split="calibration"))
    with torch_threads(1):
        model = make_model("ppo", make_traces(60), num_envs=1)
    policy = LearnedPolicy.of(model, observation="features")
    target = float(np.mean(traces.energy_pj[:, 1])) + 1.5 * policy.macs * MAC_PJ
    found = calibrate(policy, traces, target_energy_pj=target)
    exits = evaluate(found, traces).exit_timesteps
    spent = energy_costs(policy, traces)[np.arange(len(traces)), exits - 1].mean()
    assert spent == pytest.approx(target, rel=0.01)
    assert traces.energy_pj[np.arange(len(traces)), exits - 1].mean() < target - policy.macs * MAC_PJ


def test_arguments_are_left_as_they_were_given():
    given = {"net_arch": [8], "n_quantiles": 5}
    before = {name: str(preset.arguments) for name, preset in PRESETS.items()}
    with torch_threads(1):
        for arguments in ({"policy_kwargs": given}, {}):
            make_model("qrdqn", make_traces(50), num_envs=1, buffer_size=100, **arguments)
    assert given == {"net_arch": [8], "n_quantiles": 5}
    assert {name: str(preset.arguments) for name, preset in PRESETS.items()} == before


def test_a_recurrent_policy_remembers_the_steps_before_and_forgets_at_a_start():
    traces = make_traces(50)
    policy = train("recurrent-ppo", traces, total_timesteps=300, num_envs=16, batch_size=64)
    columns, scores = traces.columns("features"), policy.trace_scores(traces)
    _, state = policy.predict(columns[:, 0], episode_start=np.ones(50, bool))
    on, _ = policy.score_step(columns[:, 1], state, np.zeros(50, bool))
    assert np.array_equal(on, scores[:, 1])
    afresh, _ = policy.score_step(columns[:, 1], state, np.ones(50, bool))
    assert afresh == pytest.approx(policy.score(columns[:, 1]), abs=1e-6)
    assert not np.allclose(on, afresh)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn", "recurrent-ppo"])
def test_a_zip_of_sb3_is_read_without_unpickling(algorithm, tmp_path, monkeypatch):
    traces = make_traces(200)
    with torch_threads(1):
        model = make_model(algorithm, traces, seed=3, **FEW[algorithm])
    model.save(tmp_path / "model.zip")
    own = LearnedPolicy.of(model, observation="features")

    def refuse(*given, **named):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr("cloudpickle.loads", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = load_sb3(algorithm, tmp_path / "model.zip", traces)
    assert np.array_equal(evaluate(again, traces).exit_timesteps, evaluate(own, traces).exit_timesteps)
    assert np.array_equal(again.trace_scores(traces), own.trace_scores(traces))


def test_zips_that_do_not_fit_are_one_sentence(tmp_path):
    traces = make_traces(50)
    with torch_threads(1):
        make_model("ppo", traces, num_envs=1).save(tmp_path / "model.zip")
    with pytest.raises(InputError, match="found nothing at"):
        load_sb3("ppo", tmp_path / "none.zip", traces)
    with pytest.raises(InputError, match="state its observation and policy_kwargs"):
        load_sb3("ppo", tmp_path / "model.zip", traces, policy_kwargs={"net_arch": [8]})
    with pytest.raises(InputError, match=r"policy_net.*policy_kwargs=\{\} for SB3's own defaults"):
        load_sb3("ppo", tmp_path / "model.zip", traces, policy_kwargs={"net_arch": [8]})
    with pytest.raises(InputError, match=r"argument of PPO, got 'net_arch'. Known: .*policy_kwargs"):
        load_sb3("ppo", tmp_path / "model.zip", traces, net_arch=[8])
    (tmp_path / "broken.zip").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="a zip of a ppo model of this architecture"):
        load_sb3("ppo", tmp_path / "broken.zip", traces)


@pytest.mark.parametrize(("algorithm", "kind"), [("ppo", PPO), ("a2c", A2C), ("dqn", DQN)])
def test_a_zip_of_sb3s_own_defaults_is_read(algorithm, kind, tmp_path):
    traces = make_traces(50)
    small = {"buffer_size": 100} if kind is DQN else {}
    model = kind("MlpPolicy", EarlyExitEnv(traces), device="cpu", **small)
    model.save(tmp_path / "model.zip")
    policy = load_sb3(algorithm, tmp_path / "model.zip", traces, policy_kwargs={})
    assert np.array_equal(evaluate(policy, traces).exit_timesteps, evaluate(model, traces).exit_timesteps)
    load(save(policy, tmp_path / "policy.safetensors"))


def test_without_sb3_contrib_its_algorithms_name_the_package_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'seenn-env\[contrib\]'"):
        train("qrdqn", make_traces(50))


def test_an_observation_of_another_shape_than_the_models_own_is_one_sentence(tmp_path):
    traces, backbone = full_traces(), small_backbone()
    env = to_sb3(EarlyExitVectorEnv(4, traces, observation="rich"))
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=8, device="cpu")
    model.save(tmp_path / "model.zip")
    wrong = LearnedPolicy.of(model, observation="features")
    for run in (
        lambda: evaluate(model, traces),
        lambda: compare({"ppo": model}, traces),
        lambda: classify(few_samples(), backbone, model, num_slots=4),
        lambda: evaluate(wrong, traces),
        lambda: calibrate(wrong, traces, target_timesteps=2),
        lambda: classify(few_samples(), backbone, wrong, num_slots=4),
    ):
        with pytest.raises(
            InputError, match=r"trained on, of shape \[17\], got 'features' of \[6\]: name it by observation="
        ):
            run()
    with pytest.raises(InputError, match="state its observation and policy_kwargs"):
        load_sb3("ppo", tmp_path / "model.zip", traces, policy_kwargs={})
    assert evaluate(model, traces, observation="rich").mean_timesteps >= 1


def test_a_model_of_choose_timestep_is_not_taken_for_one_that_exits():
    traces = full_traces()
    env = to_sb3(ChooseTimestepVectorEnv(4, traces, observation="features"))
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=8, device="cpu")
    for run in (
        lambda: evaluate(model, traces),
        lambda: classify(few_samples(), small_backbone(), model, num_slots=4),
        lambda: LearnedPolicy.of(model, observation="features"),
    ):
        with pytest.raises(InputError, match=r"over Discrete\(2\), 0 \(continue\) and 1 \(exit\), got one over .*4"):
            run()


@pytest.mark.parametrize("observation", ["featurs", "features+hiden", "image", "rich+rich"])
def test_an_unknown_observation_is_refused_when_a_policy_is_made(observation, traces):
    model = make_model("ppo", traces, num_envs=1)
    with pytest.raises(InputError, match=r"Did you mean '(features|hidden)'|Expected (columns|every part)"):
        LearnedPolicy.of(model, observation=observation)
