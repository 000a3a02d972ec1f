import warnings
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers.vector import NormalizeReward, RecordEpisodeStatistics
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from seenn_env.sb3 import to_sb3

MODES = [AutoresetMode.SAME_STEP, AutoresetMode.DISABLED, AutoresetMode.NEXT_STEP]


class Climb(gym.Env):
    """Climbs by 0, 1 or 2; terminates at the top, truncates after eight steps; infos of every kind."""

    action_space = spaces.Discrete(3)

    def __init__(self, kind="dict"):
        height, clock = spaces.Box(0, 20, (2,)), spaces.Discrete(10)
        self.observation_space = {
            "dict": spaces.Dict({"height": height, "clock": clock}),
            "tuple": spaces.Tuple((height, clock)),
            "discrete": clock,
        }[kind]
        self.kind = kind

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.height, self.clock = int(self.np_random.integers(4)), 0
        return self._observation(), {"start": self.height}

    def step(self, action):
        self.height, self.clock = self.height + int(action), self.clock + 1
        terminated, truncated = self.height >= 10, self.clock >= 8
        info = {
            "height": self.height,
            "name": f"at {self.height}",
            "pair": np.array([self.height, self.clock]),
            "nested": {"clock": self.clock, "top": terminated},
        }
        if terminated:
            info["is_success"] = True
        return self._observation(), 1000 / 3 * self.height, terminated, truncated, info

    def _observation(self):
        height, clock = np.full(2, self.height, np.float32), self.clock
        return {"dict": {"height": height, "clock": clock}, "tuple": (height, clock), "discrete": clock}[self.kind]


class Counter(VectorEnv):
    """Row i counts to i + 2 and starts again; hands out its own buffer, and final_obs as one array."""

    metadata: ClassVar = {"autoreset_mode": AutoresetMode.SAME_STEP}
    render_mode = "rgb_array"
    speed = 1

    def __init__(self, num_envs=4):
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = spaces.Box(0, 99, (1,)), spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.counts = np.zeros((num_envs, 1), np.float32)
        self.rewards = np.ones(num_envs)

    def reset(self, *, seed=None, options=None):
        self.counts[:] = 0
        return self.counts, {"version": 3}

    def step(self, actions):
        self.counts += 1
        done = self.counts[:, 0] >= np.arange(self.num_envs) + 2
        infos = {"count": self.counts[:, 0].copy()}
        if done.any():
            even = np.arange(self.num_envs) % 2 == 0
            final_info = {"is_success": even, "count": self.counts[:, 0].copy(), "version": 3}
            infos |= {"final_obs": self.counts.copy(), "final_info": final_info}
        self.counts[done] = 0
        infos["shown"] = self.counts[:, 0].copy()
        return self.counts, self.rewards, done, np.zeros_like(done), infos

    def render(self):
        return tuple(np.full((2, 2, 3), row, np.uint8) for row in range(self.num_envs))

    def levels(self):
        return [10 * row for row in range(self.num_envs)]

    def close_extras(self):
        self.closings = getattr(self, "closings", 0) + 1
        if self.closings > 1:
            raise RuntimeError("closed twice")


class UnknownCartPole(CartPoleVectorEnv):
    """A NEXT_STEP environment whose rows nobody knows how to reset alone; it pays for resets too."""

    def step(self, action):
        obs, rewards, *rest = super().step(action)
        return obs, np.ones_like(rewards), *rest


class AlwaysRight:
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.ones(len(observation), dtype=np.int64), state


def native_cartpole(num_envs, **kwargs):
    return gym.make_vec("CartPole-v1", num_envs=num_envs, vectorization_mode="vector_entry_point", **kwargs)


def equal(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return np.array_equal(left, right)


def check_step_for_step(env_fn, vector_env, num_steps):
    """The adapter and SB3's own vector environment of monitored environments agree in everything."""
    num_envs = vector_env.num_envs
    ours, theirs = to_sb3(vector_env), DummyVecEnv([lambda: Monitor(env_fn())] * num_envs)
    assert (ours.observation_space, ours.action_space) == (theirs.observation_space, theirs.action_space)
    ours.action_space.seed(5)
    assert ours.seed(3) == theirs.seed(3)
    assert equal(ours.reset(), theirs.reset())
    num_episodes = 0
    for _ in range(num_steps):
        assert equal(tuple(ours.reset_infos), tuple(theirs.reset_infos))
        actions = np.array([ours.action_space.sample() for _ in range(num_envs)])
        (obs, rewards, dones, infos), expected = ours.step(actions), theirs.step(actions)
        assert equal(obs, expected[0])
        np.testing.assert_array_equal(rewards, expected[1])
        np.testing.assert_array_equal(dones, expected[2])
        assert rewards.dtype == np.float32
        assert dones.dtype == bool
        for done, info, expected_info in zip(dones, infos, expected[3], strict=True):
            if not done:
                assert info == {}
                continue
            num_episodes += 1
            episode, expected_episode = info.pop("episode"), expected_info.pop("episode")
            assert equal(info, expected_info)
            assert episode["r"] == pytest.approx(expected_episode["r"], abs=2e-6)
            assert episode["l"] == expected_episode["l"]
            assert [type(episode[key]) for key in "rlt"] == [float, int, float]
            assert type(info["TimeLimit.truncated"]) is bool
    ours.close()
    theirs.close()
    assert num_episodes > 2 * num_envs


@pytest.fixture
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize(
    "env_fn",
    [
        lambda: gym.make("CartPole-v1"),
        lambda: gym.make("CartPole-v1", max_episode_steps=15),
        lambda: gym.make("MountainCarContinuous-v0", max_episode_steps=17),
        lambda: gym.make("FrozenLake-v1"),
        lambda: Climb("dict"),
        lambda: Climb("tuple"),
        lambda: Climb("discrete"),
    ],
    ids=["cartpole", "cartpole truncated", "mountain car", "frozen lake", "dict", "tuple", "discrete"],
)
def test_every_autoreset_mode_equals_dummy_vec_env_step_for_step(env_fn, mode):
    check_step_for_step(env_fn, SyncVectorEnv([env_fn] * 3, autoreset_mode=mode), num_steps=200)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
def test_processes_equal_dummy_vec_env_step_for_step(mode):
    check_step_for_step(Climb, AsyncVectorEnv([Climb] * 2, autoreset_mode=mode), num_steps=60)


def test_a_vector_environment_that_reuses_its_buffer_equals_dummy_vec_env():
    check_step_for_step(
        Climb, SyncVectorEnv([Climb] * 3, copy=False, autoreset_mode=AutoresetMode.DISABLED), num_steps=60
    )


def test_observations_and_rewards_belong_to_the_caller():
    adapter = to_sb3(Counter())
    first = adapter.reset()
    second, rewards, _, _ = adapter.step(np.zeros(4, int))
    rewards += 100
    second += 100
    third, rewards, _, infos = adapter.step(np.zeros(4, int))
    np.testing.assert_array_equal(first[:, 0], [0, 0, 0, 0])
    np.testing.assert_array_equal(third[:, 0], [0, 2, 2, 2])
    np.testing.assert_array_equal(rewards, [1, 1, 1, 1])
    assert infos[0]["episode"]["r"] == 2.0
    adapter.step(np.zeros(4, int))
    np.testing.assert_array_equal(infos[0]["terminal_observation"], [2])


def test_final_infos_become_python_values_of_the_finished_rows_only():
    adapter = to_sb3(Counter())
    adapter.reset()
    assert adapter.reset_infos == [{"version": 3}] * 4
    adapter.step(np.zeros(4, int))
    _, _, dones, infos = adapter.step(np.zeros(4, int))
    assert dones.tolist() == [True, False, False, False]
    assert infos[1:] == [{}, {}, {}]
    assert infos[0].keys() == {
        "is_success", "count", "version", "terminal_observation", "TimeLimit.truncated", "episode",
    }  # fmt: skip
    assert (infos[0]["is_success"], infos[0]["count"], infos[0]["version"]) == (True, 2.0, 3)
    assert type(infos[0]["is_success"]) is bool
    assert infos[0]["TimeLimit.truncated"] is False
    infos[1]["mine"] = 1
    assert adapter.step(np.zeros(4, int))[3][2] == {}


def test_infos_of_all_rows_are_an_option():
    adapter = to_sb3(Counter(), infos="all")
    adapter.reset()
    adapter.step(np.zeros(4, int))
    _, _, _, infos = adapter.step(np.zeros(4, int))
    assert infos[2] == {"count": 2.0, "shown": 2.0, "TimeLimit.truncated": False}
    assert infos[0]["episode"]["l"] == 2
    assert "shown" not in infos[0]  # it is about the next episode
    assert adapter.reset_infos[0]["shown"] == 0.0


def test_native_cartpole_is_its_own_trajectory_without_the_reset_steps():
    bare, adapter = native_cartpole(1), to_sb3(native_cartpole(1))
    adapter.seed(11)
    np.testing.assert_array_equal(adapter.reset(), bare.reset(seed=11)[0])
    rng, num_episodes = np.random.default_rng(0), 0
    for _ in range(300):
        actions = rng.integers(2, size=1)
        obs, rewards, dones, infos = adapter.step(actions)
        expected, expected_rewards, terminated, truncated, _ = bare.step(actions)
        np.testing.assert_array_equal(rewards, expected_rewards)
        assert dones == (terminated | truncated)
        if dones[0]:
            num_episodes += 1
            np.testing.assert_array_equal(infos[0]["terminal_observation"], expected[0])
            expected = bare.step(actions)[0]
        np.testing.assert_array_equal(obs, expected)
    assert num_episodes > 5


@pytest.mark.parametrize("max_episode_steps", [12, 500])
def test_native_cartpole_rows_follow_the_dynamics_while_others_restart(max_episode_steps):
    adapter = to_sb3(native_cartpole(8, max_episode_steps=max_episode_steps))
    oracle = CartPoleVectorEnv(8)
    oracle.reset()
    adapter.seed(0)
    obs, ages, rng, num_truncated = adapter.reset(), np.zeros(8, int), np.random.default_rng(1), 0
    for _ in range(100):
        oracle.state, oracle.prev_done[:] = obs.T.astype(np.float64), False
        actions = rng.integers(2, size=8)
        expected, _, terminated, _, _ = oracle.step(actions)
        obs, rewards, dones, infos = adapter.step(actions)
        ages += 1
        reached = np.array([info.get("terminal_observation", obs[index]) for index, info in enumerate(infos)])
        np.testing.assert_allclose(reached, expected, atol=1e-5)
        np.testing.assert_array_equal(rewards, np.ones(8))
        np.testing.assert_array_equal(dones, terminated | (ages >= max_episode_steps))
        assert np.abs(obs[dones]).max(initial=0) <= 0.05
        assert [infos[index]["episode"]["l"] for index in np.flatnonzero(dones)] == ages[dones].tolist()
        num_truncated += sum(info.get("TimeLimit.truncated", False) for info in infos)
        ages[dones] = 0
    assert (num_truncated > 20) == (max_episode_steps == 12)


def test_native_cartpole_under_wrappers_resets_in_the_same_step_too():
    wrapped = RecordEpisodeStatistics(native_cartpole(4))
    ours, plain = to_sb3(NormalizeReward(wrapped)), to_sb3(native_cartpole(4))
    to_sb3(wrapped)  # again, on the same environment, changes nothing
    for adapter in (ours, plain):
        adapter.seed(2)
    np.testing.assert_array_equal(ours.reset(), plain.reset())
    lengths, rng = [], np.random.default_rng(0)
    for _ in range(150):
        actions = rng.integers(2, size=4)
        obs, _, dones, infos = ours.step(actions)
        expected, _, expected_dones, _ = plain.step(actions)
        np.testing.assert_array_equal(obs, expected)
        np.testing.assert_array_equal(dones, expected_dones)
        lengths += [info["episode"]["l"] for info in infos if info]
    assert len(lengths) > 10
    assert list(wrapped.length_queue) == lengths


def test_a_row_that_cannot_be_reset_alone_shows_its_reset_as_an_episode_of_its_own():
    with pytest.warns(UserWarning, match="UnknownCartPole resets rows in the step after their last"):
        adapter = to_sb3(UnknownCartPole(3, max_episode_steps=12))
    bare = UnknownCartPole(3, max_episode_steps=12)
    adapter.seed(4)
    last, _ = adapter.reset(), bare.reset(seed=4)
    rng, extra, ages = np.random.default_rng(0), np.zeros(3, bool), np.zeros(3, int)
    num_terminated, num_truncated, was_truncated = 0, 0, extra
    for _ in range(120):
        actions = (rng.random(3) < 0.8).astype(int)
        obs, rewards, dones, infos = adapter.step(actions)
        expected, _, terminated, truncated, _ = bare.step(actions)
        np.testing.assert_array_equal(obs, expected)
        np.testing.assert_array_equal(rewards, np.where(extra, 0, 1))
        np.testing.assert_array_equal(dones, terminated | truncated | extra)
        ages = np.where(extra, 0, ages + 1)
        for index in np.flatnonzero(dones):
            info = infos[index]
            if extra[index]:
                assert info.keys() == {"terminal_observation", "TimeLimit.truncated"}
                np.testing.assert_array_equal(info["terminal_observation"], last[index])
                assert info["TimeLimit.truncated"] == was_truncated[index]
            else:
                assert (info["episode"]["l"], info["episode"]["r"]) == (ages[index], ages[index])
                assert info["TimeLimit.truncated"] == (truncated & ~terminated)[index]
                num_terminated += terminated[index]
                num_truncated += truncated[index]
        last, extra, was_truncated = obs, terminated | truncated, truncated & ~terminated
    assert min(num_terminated, num_truncated) > 3


def test_a_reset_in_the_middle_starts_everything_afresh():
    with pytest.warns(UserWarning, match="one extra step per episode"):
        adapter = to_sb3(UnknownCartPole(1))
    adapter.reset()
    for _ in range(2):
        lengths, dones = 0, [False]
        while not dones[0]:
            _, _, dones, infos = adapter.step(np.ones(1, int))
            lengths += 1
        assert infos[0]["episode"]["r"] == infos[0]["episode"]["l"] == lengths
        adapter.reset()  # the extra step is no longer due
        assert not adapter.step(np.ones(1, int))[2][0]
        adapter.reset()  # nor does that step count


def test_the_extra_step_survives_wrappers_that_rewrite_terminal_observations():
    with pytest.warns(UserWarning, match="one extra step per episode"):
        plain = to_sb3(UnknownCartPole(1))
    normalized = VecNormalize(plain, training=False)
    normalized.obs_rms.mean[:] = 5.0
    normalized.reset()
    dones = [False]
    while not dones[0]:
        obs, _, dones, _ = normalized.step(np.array([1]))
    _, _, dones, infos = normalized.step(np.array([1]))
    assert dones[0]
    np.testing.assert_allclose(infos[0]["terminal_observation"], obs[0])


def test_processes_without_shared_memory_that_reset_in_the_next_step_are_told_apart():
    with pytest.warns(UserWarning, match="one extra step per episode"):
        adapter = to_sb3(AsyncVectorEnv([lambda: gym.make("CartPole-v1")] * 2, shared_memory=False))
    adapter.reset()
    lengths, num_steps = [], 0
    while len(lengths) < 8:
        _, _, _, infos = adapter.step(np.ones(2, int))
        num_steps += 1
        lengths += [info["episode"]["l"] for info in infos if "episode" in info]
    adapter.close()
    assert set(lengths) <= set(range(8, 12))  # pushing right always falls within these
    assert num_steps >= sum(lengths) / 2 + 3


@pytest.mark.parametrize("by", ["the user", "the environment"])
def test_partial_reset_can_be_promised(by):
    class Promised(UnknownCartPole):
        metadata = UnknownCartPole.metadata | ({"partial_reset": True} if by == "the environment" else {})

        def reset(self, *, seed=None, options=None):
            mask = (options or {}).get("reset_mask")
            if mask is None:
                return super().reset(seed=seed)
            self.state[:, mask], self.steps[mask], self.prev_done[mask] = 0.01, 0, False
            return self.state.T.astype(np.float32), {"again": mask}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapter = to_sb3(Promised(2), partial_reset=True if by == "the user" else None)
    adapter.reset()
    dones = np.zeros(2, bool)
    while not dones.any():
        obs, _, dones, _ = adapter.step(np.ones(2, int))
    index = int(dones.argmax())
    np.testing.assert_allclose(obs[index], 0.01)
    assert adapter.reset_infos[index] == {"again": True}


def test_seeds_reproduce_and_are_used_once():
    adapter = to_sb3(native_cartpole(3))
    adapter.seed(7)
    first, second = adapter.reset(), adapter.reset()
    adapter.seed(7)
    np.testing.assert_array_equal(adapter.reset(), first)
    np.testing.assert_array_equal(adapter.reset(), second)
    assert not np.array_equal(first, second)


def test_options_reach_the_next_reset_and_only_that_one():
    adapter = to_sb3(native_cartpole(3))
    adapter.set_options([{"low": 0.9, "high": 0.91}] * 3)
    assert adapter.reset().min() >= 0.9
    assert adapter.reset().max() <= 0.05
    with pytest.raises(ValueError, match="Expected the same options for every row"):
        adapter.set_options([{"low": 0.9}, {"low": 0.8}, {"low": 0.9}])


def test_attributes_and_methods_reach_sub_environments():
    adapter = to_sb3(SyncVectorEnv([lambda: gym.make("CartPole-v1")] * 3))
    adapter.set_attr("gravity", 1.5, indices=[0, 2])
    assert adapter.get_attr("gravity") == [1.5, 9.8, 1.5]
    assert adapter.get_attr("gravity", indices=1) == [9.8]
    assert adapter.env_method("has_wrapper_attr", "gravity", indices=[1]) == [True]
    assert callable(adapter.get_attr("step")[0])
    assert adapter.has_attr("gravity")
    assert not adapter.has_attr("levity")


def test_attributes_and_methods_reach_processes_and_a_missing_one_harms_none():
    adapter = to_sb3(AsyncVectorEnv([lambda: Monitor(gym.make("CartPole-v1"))] * 2))
    assert not adapter.has_attr("levity")
    adapter.set_attr("gravity", 1.5)
    assert adapter.get_attr("gravity", indices=[1]) == [1.5]
    assert adapter.env_method("has_wrapper_attr", "gravity") == [True, True]
    with pytest.raises(ValueError, match="Expected indices=None, as AsyncVectorEnv reaches all rows"):
        adapter.set_attr("gravity", 2.0, indices=[0])
    assert adapter.env_is_wrapped(gym.wrappers.TimeLimit) == [True, True]
    assert adapter.env_is_wrapped(gym.wrappers.ClipAction) == [False, False]
    assert adapter.reset().shape == (2, 4)
    adapter.close()
    adapter.close()


def test_attributes_and_methods_of_a_native_environment_are_those_of_every_row():
    adapter = to_sb3(RecordEpisodeStatistics(Counter()))
    adapter.set_attr("speed", 3)
    assert adapter.get_attr("speed", indices=[0, 3]) == [3, 3]
    assert adapter.vector_env.unwrapped.speed == 3
    assert adapter.get_attr("episode_count") == [0] * 4
    assert adapter.env_method("levels") == [0, 10, 20, 30]
    assert not adapter.has_attr("levity")
    with pytest.raises(ValueError, match=r"as Counter reaches all rows at once, got \[1\]"):
        adapter.env_method("levels", indices=[1])


def test_wrappers_are_reported_as_they_are():
    sync = to_sb3(SyncVectorEnv([lambda: gym.make("CartPole-v1"), lambda: gym.make("CartPole-v1").unwrapped]))
    assert sync.env_is_wrapped(gym.wrappers.TimeLimit) == [True, False]
    assert sync.env_is_wrapped(Monitor, indices=[1]) == [True]
    assert to_sb3(Counter()).env_is_wrapped(RecordEpisodeStatistics) == [False] * 4
    assert to_sb3(RecordEpisodeStatistics(Counter())).env_is_wrapped(RecordEpisodeStatistics) == [True] * 4


@pytest.mark.parametrize("vectorize", [SyncVectorEnv, AsyncVectorEnv])
def test_a_monitor_in_the_sub_environments_keeps_its_figures(vectorize):
    def make():
        return gym.wrappers.TransformReward(Monitor(gym.make("CartPole-v1")), lambda reward: 100 * reward)

    adapter = to_sb3(vectorize([make] * 2, autoreset_mode=AutoresetMode.SAME_STEP))
    adapter.reset()
    infos: list[dict] = [{}]
    while not any(infos):
        _, rewards, _, infos = adapter.step(np.ones(2, int))
    adapter.close()
    episode = next(info["episode"] for info in infos if info)
    assert rewards[0] == 100
    assert episode["r"] == episode["l"]


def test_frames_are_tiled_and_closing_twice_is_harmless():
    adapter = to_sb3(Counter())
    assert adapter.render_mode == "rgb_array"
    assert adapter.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert adapter.render()[:, :, 0].tolist() == [[0, 0, 1, 1]] * 2 + [[2, 2, 3, 3]] * 2
    adapter.close()
    adapter.close()
    assert adapter.vector_env.closings == 1


def test_mistakes_are_explained():
    with pytest.raises(TypeError, match=r"Expected a gymnasium.vector.VectorEnv, got TimeLimit"):
        to_sb3(gym.make("CartPole-v1"))
    with pytest.raises(ValueError, match="Expected infos to be 'finished', 'episode' or 'all', got 'some'"):
        to_sb3(Counter(), infos="some")
    silent = Counter()
    silent.metadata = {}
    with pytest.raises(ValueError, match=r"Expected metadata\['autoreset_mode'\]"):
        to_sb3(silent)
    forgetful = native_cartpole(1)
    forgetful.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    adapter = to_sb3(forgetful)
    adapter.set_options({"low": 3.0, "high": 4.0})
    adapter.reset()
    with pytest.raises(KeyError, match=r"Expected infos\['final_obs'\]"):
        adapter.step(np.ones(1, int))


def test_evaluate_policy_counts_exactly_and_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rewards, lengths = evaluate_policy(
            AlwaysRight(), to_sb3(Counter()), n_eval_episodes=8, return_episode_rewards=True
        )
    assert sorted(lengths) == [2, 2, 3, 3, 4, 4, 5, 5]
    assert rewards == lengths


def test_eval_callback_reports_successes_and_does_not_warn(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        callback = EvalCallback(to_sb3(Counter()), eval_freq=8, n_eval_episodes=4, log_path=str(tmp_path), verbose=0)
        PPO("MlpPolicy", to_sb3(Counter()), n_steps=8, batch_size=32, device="cpu").learn(32, callback=callback)
    evaluations = np.load(tmp_path / "evaluations.npz")
    assert evaluations["ep_lengths"].sum(axis=1).tolist() == [14]
    assert evaluations["successes"].sum(axis=1).tolist() == [2]


def test_vec_normalize_normalises_terminal_observations_on_top():
    raw, normalized = to_sb3(native_cartpole(4)), VecNormalize(to_sb3(native_cartpole(4)), norm_reward=False)
    for adapter in (raw, normalized):
        adapter.seed(1)
        adapter.reset()
    num_episodes = 0
    for _ in range(40):
        raw_obs, _, dones, raw_infos = raw.step(np.ones(4, int))
        obs, _, _, infos = normalized.step(np.ones(4, int))
        np.testing.assert_array_equal(normalized.get_original_obs(), raw_obs)
        np.testing.assert_allclose(obs, normalized.normalize_obs(raw_obs))
        for index in np.flatnonzero(dones):
            num_episodes += 1
            expected = normalized.normalize_obs(raw_infos[index]["terminal_observation"])
            np.testing.assert_allclose(infos[index]["terminal_observation"], expected)
    assert num_episodes > 4


def test_vec_monitor_on_top_counts_the_same():
    inner = to_sb3(native_cartpole(4))
    with pytest.warns(UserWarning, match="already wrapped with a `Monitor`"):
        monitored = VecMonitor(inner)
    monitored.reset()
    pairs = []
    step_wait = inner.step_wait

    def spy():
        result = step_wait()
        pairs.extend(dict(info["episode"]) for info in result[3] if info)
        return result

    inner.step_wait = spy
    counted = []
    for _ in range(60):
        counted += [info["episode"] for info in monitored.step(np.ones(4, int))[3] if info]
    assert len(counted) > 8
    assert [(e["r"], e["l"]) for e in counted] == [(e["r"], e["l"]) for e in pairs]


@pytest.mark.usefixtures("_one_thread")
def test_dqn_stores_last_observations_not_the_next_episodes_first():
    env = to_sb3(native_cartpole(4, max_episode_steps=9))
    model = DQN("MlpPolicy", env, buffer_size=1000, learning_starts=1000, device="cpu", seed=0).learn(200)
    buffer, size = model.replay_buffer, model.replay_buffer.pos
    done = buffer.dones[:size].astype(bool)
    truncated = buffer.timeouts[:size].astype(bool)
    assert truncated.any()
    assert not (truncated & ~done).any()
    assert (np.abs(buffer.next_observations[:size][done]).max(axis=1) > 0.06).all()
    assert (np.abs(buffer.observations[1:size][done[: size - 1]]).max(axis=1) <= 0.05).all()


@pytest.mark.usefixtures("_one_thread")
def test_ppo_learns_native_cartpole():
    settings = {"n_steps": 32, "batch_size": 256, "n_epochs": 10, "gae_lambda": 0.8, "gamma": 0.98}
    env = to_sb3(native_cartpole(8))
    model = PPO("MlpPolicy", env, learning_rate=1e-3, device="cpu", seed=0, **settings)
    model.learn(2_000)
    early = np.mean([episode["r"] for episode in model.ep_info_buffer])
    model.learn(25_000, reset_num_timesteps=False)
    late = np.mean([episode["r"] for episode in model.ep_info_buffer])
    mean_return, _ = evaluate_policy(model, env, n_eval_episodes=16, deterministic=False)
    assert early < 40
    assert min(late, mean_return) > 80


def test_episode_infos_are_what_sb3_reads_and_nothing_else():
    from seenn_env import EarlyExitVectorEnv

    whole, lean = (to_sb3(EarlyExitVectorEnv(32, "digits"), infos=kind) for kind in ("finished", "episode"))
    for env in (whole, lean):
        env.seed(0)
        env.reset()
    rng = np.random.default_rng(0)
    for _ in range(20):
        actions = rng.integers(2, size=32)
        for one, two in zip(whole.step(actions)[3], lean.step(actions)[3], strict=True):
            if one:
                assert set(one) - set(two) == {"label", "prediction", "correct", "timestep", "sample"}
                assert two["is_success"] == one["is_success"]
                assert two["episode"]["r"] == one["episode"]["r"]
                assert np.array_equal(two["terminal_observation"], one["terminal_observation"])
            else:
                assert two == {}


@pytest.mark.parametrize("infos", ["finished", "episode"])
@pytest.mark.parametrize("name", ["EarlyExit", "ChooseTimestep"])
def test_environments_over_traces_give_the_same_with_and_without_gymnasiums_infos(name, infos):
    import seenn_env

    def vector():
        return getattr(seenn_env, f"{name}VectorEnv")(16, "digits")

    lean, generic = to_sb3(vector(), infos=infos), to_sb3(VectorWrapper(vector()), infos=infos)
    for env in (lean, generic):
        env.seed(3)
    assert np.array_equal(lean.reset(), generic.reset())
    rng, ended = np.random.default_rng(0), 0
    for _ in range(60):
        actions = rng.integers(lean.action_space.n, size=16)
        one, other = lean.step(actions), generic.step(actions)
        for ours, theirs in zip(one[:3], other[:3], strict=True):
            assert np.array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype
            assert ours.flags.writeable
        assert lean.reset_infos == generic.reset_infos
        for ours, theirs in zip(one[3], other[3], strict=True):
            assert list(ours) == list(theirs)
            if ours:
                ended += 1
                assert np.array_equal(ours.pop("terminal_observation"), theirs.pop("terminal_observation"))
                assert isinstance(ours["episode"].pop("t"), float)
                del theirs["episode"]["t"]
            assert repr(ours) == repr(theirs)  # types too
    assert ended > 100


def test_every_step_hands_out_dictionaries_of_its_own():
    from seenn_env import EarlyExitVectorEnv

    env = to_sb3(EarlyExitVectorEnv(8, "digits"))
    env.reset()
    steps = [env.step(np.zeros(8, int))[3] for _ in range(20)]
    infos = [info for step in steps for info in step]
    assert len({id(info) for info in infos}) == len(infos)
    episodes = [info["episode"] for info in infos if info]
    assert len({id(episode) for episode in episodes}) == len(episodes) > 0


def test_an_environment_over_traces_with_a_step_of_its_own_is_stepped_by_it():
    from seenn_env import EarlyExitVectorEnv

    class Doubled(EarlyExitVectorEnv):
        def step(self, actions):
            observations, rewards, *rest = super().step(actions)
            return observations, 2 * rewards, *rest

    ours, plain = (to_sb3(env(8, "digits")) for env in (Doubled, EarlyExitVectorEnv))
    for env in (ours, plain):
        env.seed(0)
        env.reset()
    exits = np.ones(8, int)
    assert np.array_equal(ours.step(exits)[1], 2 * plain.step(exits)[1])
