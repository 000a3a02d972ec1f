"""The one-shot network runs live with the exits of replay; the oracle is refused."""

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import VecNormalize

import agents
import backbones as bb
from agents.calibration.costs import own_energy
from agents.commands.watch import play
from agents.learners import LearnedPolicy, load_sb3
from agents.main import main
from backbones.contract import make_keys
from seenn_env import EarlyExitEnv, EarlyExitVectorEnv, Traces, evaluate, record, stream, to_sb3
from seenn_env.evaluation import decides
from seenn_env.streaming import ArrayFeed
from tests.helpers.recorded import few_samples, small_backbone


@pytest.fixture(scope="module")
def samples():
    return few_samples("calibration", 60)


@pytest.fixture(scope="module")
def traces(samples) -> Traces:
    return record(small_backbone(), samples, batch_size=16, images=True)


@pytest.fixture(scope="module")
def one_shot(traces):
    policy = agents.train("one-shot", record(small_backbone(), few_samples(), images=True), epochs=2, reward="linear")
    return agents.calibrate(policy, traces, target_timesteps=2.2)


def exits_of(answers) -> np.ndarray:
    found = {int(place): int(t) for each in answers for place, t in zip(each.places, each.timesteps, strict=True)}
    return np.array([found[place] for place in sorted(found)])


@pytest.mark.parametrize("num_slots", [1, 7, 16])
def test_the_one_shot_network_runs_live_with_the_exits_of_replay(one_shot, samples, traces, num_slots):
    expected = evaluate(one_shot, traces)
    assert len(np.unique(expected.exit_timesteps)) > 1
    for shrink in (False, True):
        pool = bb.SlotPool(small_backbone(), num_slots)
        found = exits_of(stream(pool, ArrayFeed(samples.images, make_keys(samples.index)), one_shot, shrink=shrink))
        assert np.array_equal(found, expected.exit_timesteps)
    for images in (samples, samples.images / np.float32(255)):
        found = agents.classify(images, small_backbone(), one_shot, num_slots=num_slots, energy_images=0)
        assert np.array_equal(found.timesteps, expected.exit_timesteps)
    answers = agents.classify(samples, small_backbone(), one_shot, num_slots=16).predictions
    assert np.array_equal(answers, expected.predictions)


def test_it_is_saved_classified_and_watched_on_the_command_line(one_shot, traces, samples, tmp_path, capsys):
    policy = str(agents.save(one_shot, tmp_path / "policy.safetensors"))
    bb.save(small_backbone(), tmp_path / "net.safetensors")
    command = ["classify", "--backbone", str(tmp_path / "net.safetensors"), "--policy", policy, "--dataset", "digits"]
    main([*command, "--split", "calibration", "--output", str(tmp_path / "answers.csv")])
    assert "mean timesteps" in capsys.readouterr().out
    env = EarlyExitEnv(traces, split="calibration", render_mode="rgb_array")
    expected = evaluate(one_shot, traces).exit_timesteps
    for row in (0, 1, 2):
        assert play(env, one_shot, row, 0)[-1].timestep == expected[row]
    main(
        [
            "watch",
            "--traces",
            str(traces.save(tmp_path / "t.safetensors")),
            "--split",
            "calibration",
            "--policy",
            policy,
        ]
    )


class Bright:
    """A user's own, of no class of this package: one timestep for dark images, all for bright ones."""

    decides = "start"

    def predict(self, images, state=None, episode_start=None, deterministic=True):
        return np.where(images.reshape(len(images), -1).mean(1) > 80, 3, 0), None


def test_a_users_own_decides_at_the_start_too(traces, samples):
    expected = evaluate(Bright(), traces).exit_timesteps
    assert set(expected) == {1, 4}
    assert np.array_equal(agents.classify(samples, small_backbone(), Bright(), num_slots=8).timesteps, expected)
    assert own_energy(Bright(), 4).tolist() == [0] * 4


def test_a_helper_called_exit_timesteps_does_not_make_a_policy_one_of_hindsight(traces, samples):
    class Helpful(agents.Margin):
        def exit_timesteps(self, traces):
            raise AssertionError("never asked")

    assert decides(Helpful(0.5)) == decides(agents.Margin()) == "step"
    expected = evaluate(agents.Margin(0.5), traces).exit_timesteps
    assert np.array_equal(evaluate(Helpful(0.5), traces).exit_timesteps, expected)
    assert np.array_equal(agents.classify(samples, small_backbone(), Helpful(0.5), num_slots=16).timesteps, expected)


def test_a_mixed_one_shot_network_meets_its_target_in_replay_and_live(one_shot, traces, samples):
    mixed = agents.calibrate(one_shot, traces, target_timesteps=1.83, randomise=True)
    assert decides(mixed) == "start"
    assert evaluate(mixed, traces).mean_timesteps == pytest.approx(1.83, abs=0.05)
    for images in (samples, samples.images / np.float32(255)):
        found = agents.classify(images, small_backbone(), mixed, num_slots=8, energy_images=0).timesteps
        assert np.array_equal(found, evaluate(mixed, traces).exit_timesteps)


def test_hindsight_and_things_that_are_no_policies_are_refused_in_one_sentence(traces, samples):
    class OwnOracle:
        def exit_timesteps(self, traces):
            return np.ones(len(traces), int)

    assert decides(OwnOracle()) == decides(agents.Oracle()) == "end"
    assert evaluate(OwnOracle(), traces).mean_timesteps == 1
    for oracle in (OwnOracle(), agents.Oracle()):
        with pytest.raises(bb.InputError, match="decides in hindsight"):
            agents.classify(samples, small_backbone(), oracle)
    for thing in (object(), "ppo", None):
        with pytest.raises(bb.InputError, match="Expected a policy with predict"):
            evaluate(thing, traces)

    class Wild(Bright):
        def predict(self, images, *args, **kwargs):
            return np.full(len(images), 4), None

    for run in (lambda: evaluate(Wild(), traces), lambda: agents.classify(samples, small_backbone(), Wild())):
        with pytest.raises(bb.InputError, match=r"in 0…3 \(timesteps less one\)"):
            run()


@pytest.fixture(scope="module")
def normalised(packaged):
    """A model that learned on normalised observations, at scales that raw ones do not have."""
    env = VecNormalize(to_sb3(EarlyExitVectorEnv(256, packaged.select("policy"), reward="linear")), norm_reward=False)
    settings = {"n_steps": 16, "batch_size": 2048, "n_epochs": 4, "learning_rate": 3e-3, "gamma": 1.0, "device": "cpu"}
    return PPO("MlpPolicy", env, seed=0, **settings).learn(60_000)


def by_hand(model, traces) -> np.ndarray:
    """Exits on observations that VecNormalize normalises."""
    columns, env = traces.columns("features"), model.get_vec_normalize_env()
    exits = np.full(len(traces), traces.timesteps)
    for t in reversed(range(traces.timesteps - 1)):
        leaves = model.predict(env.normalize_obs(columns[:, t]), deterministic=True)[0] == 1
        exits[leaves] = t + 1
    return exits


def test_a_model_trained_under_vecnormalize_sees_normalised_observations(normalised, packaged, tmp_path):
    test = packaged.select("test")
    expected = by_hand(normalised, test)
    assert np.array_equal(evaluate(normalised, test).exit_timesteps, expected)
    policy = LearnedPolicy.of(normalised, observation="features")
    assert np.array_equal(evaluate(policy, test).exit_timesteps, expected)
    again = agents.load(agents.save(policy, tmp_path / "policy.safetensors"))
    assert np.array_equal(evaluate(again, test).exit_timesteps, expected)
    calibrated = agents.calibrate(again, packaged.select("calibration"), target_timesteps=1.5)
    assert evaluate(calibrated, packaged.select("calibration")).mean_timesteps == pytest.approx(1.5, abs=0.05)
    with pytest.raises(bb.InputError, match="reads observations as they are"):
        agents.export(small_backbone(), policy, tmp_path, num_slots=2)


def test_statistics_that_are_lost_are_asked_for(normalised, packaged, tmp_path):
    file = tmp_path / "model.zip"
    normalised.save(file)
    alone = PPO.load(file, device="cpu")
    test = packaged.select("test")
    for run in (
        lambda: evaluate(alone, test),
        lambda: LearnedPolicy.of(alone, observation="features"),
        lambda: load_sb3("ppo", file, packaged, policy_kwargs={}),
    ):
        with pytest.raises(bb.InputError, match="statistics of the model's VecNormalize"):
            run()
    again = PPO.load(file, env=normalised.get_vec_normalize_env(), device="cpu")
    assert np.array_equal(evaluate(again, test).exit_timesteps, by_hand(normalised, test))


def test_a_value_based_model_that_lost_its_normalisation_is_refused(packaged, tmp_path):
    traces = packaged.select("policy")
    settings = {"buffer_size": 1000, "learning_starts": 100, "device": "cpu"}
    plain = DQN("MlpPolicy", to_sb3(EarlyExitVectorEnv(8, traces)), **settings).learn(400)
    under = DQN("MlpPolicy", VecNormalize(to_sb3(EarlyExitVectorEnv(8, traces))), **settings).learn(400)
    for model in (plain, under):
        model.save(tmp_path / "model.zip")
        alone = DQN.load(tmp_path / "model.zip", device="cpu")
        if model is under:
            with pytest.raises(bb.InputError, match="statistics of the model's VecNormalize"):
                evaluate(alone, traces)
        else:
            assert np.array_equal(evaluate(alone, traces).exit_timesteps, evaluate(plain, traces).exit_timesteps)
