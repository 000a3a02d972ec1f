"""Registered environments make, serialise, pass the checkers, keep their reference scores and their docs pages."""

import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env as check_gymnasium
from stable_baselines3.common.env_checker import check_env as check_sb3

from seenn_env import ChooseTimestepEnv, EarlyExitEnv, Traces, evaluate, make_reward
from seenn_env.registration import REGISTERED, register_all
from tests.helpers.programs import ROOT, load_program, run_python

DOCS = ROOT / "docs"
RENDER = load_program("docs/render")
IDS = pytest.mark.parametrize("name", REGISTERED)
SMALL_IMAGE = "The minimal resolution for an image is 36x36"


@IDS
def test_every_registered_environment_passes_both_checkers_without_a_warning(name):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check_gymnasium(gym.make(name).unwrapped, skip_render_check=True)
        check_sb3(gym.make(name).unwrapped, skip_render_check=True)
    messages = [str(warning.message) for warning in found]
    expected = SMALL_IMAGE if name == "seenn_env/ChooseTimestep-v0" else "none"
    assert [text for text in messages if expected not in text] == []


@IDS
def test_the_spec_pickles_and_goes_to_json_and_back(name):
    env = gym.make(name)
    for spec in (EnvSpec.from_json(env.spec.to_json()), pickle.loads(pickle.dumps(env.spec))):
        assert spec == env.spec
        twin = gym.make(spec)
        assert np.array_equal(twin.reset(seed=1)[0], env.reset(seed=1)[0])


def test_every_argument_given_to_make_goes_to_json():
    env = gym.make(
        "seenn_env/EarlyExit-v0",
        traces="digits",
        split="calibration",
        observation="logits",
        reward="linear",
        reward_options={"cost": 0.02},
    )
    twin = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert twin.unwrapped.reward == env.unwrapped.reward
    assert np.array_equal(twin.reset(seed=1)[0], env.reset(seed=1)[0])


@IDS
def test_make_vec_takes_the_native_form_where_there_is_one(name):
    envs = gym.make_vec(name, num_envs=2)
    native = REGISTERED[name].vector_entry_point
    assert type(envs.unwrapped).__name__ == ("SyncVectorEnv" if native is None else native.split(":")[1])
    assert envs.single_observation_space == gym.make(name).observation_space
    envs.close()


@IDS
def test_an_environment_is_solved_beyond_the_best_rule_and_the_best_fixed_timestep(name):
    scores = RENDER.scores_of(REGISTERED[name])
    best = max([scores.best_rule or scores.random, *scores.fixed], key=lambda score: score.reward)
    assert gym.spec(name).reward_threshold == pytest.approx(best.reward, abs=1e-4)
    assert best.reward < scores.oracle.reward
    assert (scores.best_rule is None) == name.startswith("seenn_env/Choose")


def test_the_live_environment_shows_the_rows_of_its_reference_traces():
    live, traces = gym.make("seenn_env/EarlyExitLive-v0").unwrapped, Traces.load("digits", split="policy")
    assert np.array_equal(live.dynamics.labels, traces.labels)
    assert np.array_equal(live.dynamics.sample, traces.sample)
    assert live.dynamics.backbone.fingerprint == traces.info["fingerprint"]


def test_traces_with_spikes_and_potentials_are_the_first_rows_of_those_without():
    whole, once = Traces.load("digits"), Traces.load("digits-hidden")
    first = np.asarray(whole.repeat) == 0
    assert np.array_equal(np.asarray(whole.logits)[first], once.logits)
    assert np.array_equal(np.asarray(whole.sample)[first], once.sample)
    assert once.info["fingerprint"] == whole.info["fingerprint"]
    assert once.hidden.shape == once.membrane.shape == (len(once), once.timesteps, 64)


def test_random_actions_come_to_the_random_reference():
    for name in ("seenn_env/EarlyExit-v0", "seenn_env/ChooseTimestep-v0"):
        envs = gym.make_vec(name, num_envs=1000)
        envs.reset(seed=0)
        rng, rewards = np.random.default_rng(0), []
        for _ in range(60):
            _, paid, ended, _, _ = envs.step(rng.integers(envs.single_action_space.n, size=1000))
            rewards.append(paid[ended])
        assert np.concatenate(rewards).mean() == pytest.approx(
            RENDER.scores_of(REGISTERED[name]).random.reward, abs=0.02
        )


def test_the_best_rule_is_that_of_its_threshold():
    traces = Traces.load("digits", split="policy")
    rewards = {}

    class Threshold:
        def __init__(self, column, sign, level):
            self.column, self.sign, self.level = column, sign, level

        def predict(self, observation, state=None, episode_start=None, deterministic=True):
            return (self.sign * observation[:, self.column] >= self.level).astype(np.int64), None

    for level in np.linspace(0.3, 0.9, 25):
        rewards[level] = evaluate(Threshold(1, 1, level), traces, reward=make_reward("seenn")).rewards.mean()
    best = RENDER.scores_of(REGISTERED["seenn_env/EarlyExit-v0"]).best_rule
    assert max(rewards.values()) <= best.reward + 1e-4


def test_registration_is_idempotent_and_needs_no_import():
    register_all()
    program = "import gymnasium; print(gymnasium.make('seenn_env:seenn_env/EarlyExit-v0').reset(seed=0)[0].shape)"
    assert run_python("-W", "error", "-c", program)[0] == "(6,)\n"


def test_docstrings_list_every_registered_id():
    for name, entry in REGISTERED.items():
        cls = {"EarlyExitEnv": EarlyExitEnv, "ChooseTimestepEnv": ChooseTimestepEnv}[entry.entry_point.split(":")[1]]
        assert f"`{name}`" in cls.__doc__


def test_docs_pages_are_fresh():
    for file, (title, environment) in RENDER.PAGES.items():
        assert (DOCS / "environments" / file).read_text() == RENDER.page(title, environment), "run `make docs`"
    text = (DOCS / "policies.md").read_text()
    assert RENDER.with_policies(text) == text, "run `make docs`"
