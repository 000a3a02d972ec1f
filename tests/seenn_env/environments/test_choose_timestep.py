"""ChooseTimestep shows the image, runs k + 1 timesteps for action k, and ends."""

import gymnasium as gym
import numpy as np
import pytest

from backbones import InputError
from seenn_env import ChooseTimestepEnv, ChooseTimestepVectorEnv, record
from tests.helpers.recorded import BATCH, few_samples, full_traces, small_backbone

LIVE = {"backbone": small_backbone(), "samples": few_samples(), "repeats": 2, "batch_size": BATCH}
KEYS = {"label", "prediction", "correct", "timestep", "sample"}


def test_action_k_gives_the_answer_and_reward_of_timestep_k_plus_1():
    traces = full_traces()
    env = ChooseTimestepEnv(traces)
    for row in range(len(traces)):
        for action in range(4):
            env.reset(options={"samples": row})
            _, reward, terminated, truncated, info = env.step(action)
            right = bool(traces.correct[row, action])
            assert (terminated, truncated) == (True, False)
            assert reward == (0.5**action if right else -1.0)
            assert info == {
                "label": traces.labels[row],
                "prediction": traces.predictions[row, action],
                "correct": right,
                "timestep": action + 1,
                "sample": traces.sample[row],
                "is_success": right,
            }


def test_live_runs_as_many_timesteps_as_were_chosen_and_no_more():
    class Counting:
        def __init__(self):
            network = small_backbone()
            self.timesteps, self.num_classes, self.device = network.timesteps, network.num_classes, network.device
            self.fingerprint, self.start, self.refill, self.steps = "x", network.start, network.refill, 0

        def step(self, state):
            self.steps += 1
            return small_backbone().step(state)

    backbone = Counting()
    env = ChooseTimestepEnv(backbone=backbone, samples=few_samples())
    for action in range(4):
        backbone.steps = 0
        env.reset(seed=0)
        assert backbone.steps == 0
        env.step(action)
        assert backbone.steps == action + 1


@pytest.mark.parametrize("observation", ["image", "features", "hidden"])
def test_live_equals_replay_for_every_action(observation):
    replay = ChooseTimestepEnv(full_traces(), observation=observation)
    live = ChooseTimestepEnv(**LIVE, dtype="float16", observation=observation)
    for row in range(24):
        (a, info_a), (b, info_b) = (env.reset(options={"samples": row}) for env in (replay, live))
        assert np.array_equal(a, b)
        assert info_a == info_b
        (_, reward_a, *_, info_a), (_, reward_b, *_, info_b) = (env.step(row % 4) for env in (replay, live))
        assert (reward_a, info_a) == (reward_b, info_b)


def test_before_anything_has_run_there_is_no_prediction():
    _, info = ChooseTimestepEnv(full_traces()).reset(seed=0)
    assert info.keys() == KEYS
    assert (info["timestep"], info["prediction"], info["correct"]) == (0, -1, False)
    envs = ChooseTimestepVectorEnv(5, full_traces())
    _, infos = envs.reset(seed=0)
    assert (infos["timestep"] == 0).all()
    assert (infos["prediction"] == -1).all()
    assert not infos["correct"].any()


def test_columns_are_those_after_timestep_1_which_counts_as_run():
    traces = full_traces()
    env = ChooseTimestepEnv(traces, observation="hidden")
    observation, info = env.reset(options={"samples": 7})
    assert np.array_equal(observation, traces.columns("hidden")[7, 0])
    assert info["timestep"] == 1
    assert info["prediction"] == traces.predictions[7, 0]
    assert env.step(0)[-1]["timestep"] == 1


def test_the_image_is_the_samples_and_image_float_is_it_over_255():
    samples, traces = few_samples(), full_traces()
    for make in (ChooseTimestepEnv, lambda *a, **k: ChooseTimestepVectorEnv(1, *a, **k)):
        whole, floats = make(traces), make(traces, observation="image_float")
        for row in range(24):
            options = {"samples": [row]}
            image, fraction = whole.reset(options=options)[0], floats.reset(options=options)[0]
            expected = samples.images[samples.index == traces.sample[row]][0]
            assert np.array_equal(image.reshape(1, 8, 8), expected)
            assert np.array_equal(fraction.reshape(1, 8, 8), expected.astype(np.float32) / 255)


def test_images_come_from_samples_where_the_traces_have_none():
    bare = record(small_backbone(), few_samples(), batch_size=BATCH)
    with pytest.raises(InputError, match="record with images=True, or pass the samples"):
        ChooseTimestepEnv(bare)
    for samples in (few_samples(), "digits"):
        env = ChooseTimestepEnv(bare, samples=samples)
        assert np.array_equal(env.reset(options={"samples": 3})[0], few_samples().images[3])
    with pytest.raises(InputError, match="Expected an image of every sample"):
        ChooseTimestepEnv(bare, samples=few_samples("calibration"))


def test_a_users_embedding_goes_by_image_and_from_a_file_too(tmp_path):
    traces = full_traces()
    table = np.random.default_rng(0).normal(size=(12, 5))
    np.save(tmp_path / "embedding.npy", table)
    for given in (table, str(tmp_path / "embedding.npy")):
        single = ChooseTimestepEnv(traces, observation=given)
        vector = ChooseTimestepVectorEnv(24, traces, observation=given)
        batch = vector.reset(options={"samples": np.arange(24)})[0]
        for row in range(24):
            shown = single.reset(options={"samples": row})[0]
            assert np.array_equal(shown, table[row // 2].astype(np.float32))
            assert np.array_equal(shown, batch[row])
    assert single.observation_names == tuple(f"embedding_{f}" for f in range(5))


def test_an_embedding_without_images_has_a_row_for_each_of_the_traces():
    bare = record(small_backbone(), few_samples(), batch_size=BATCH)
    table = np.arange(24.0).reshape(12, 2)
    assert ChooseTimestepEnv(bare, observation=table).reset(options={"samples": 4})[0].tolist() == [8, 9]


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        (np.zeros((11, 2)), r"Expected an embedding \[12, F\] of floats, one for each image, got \[11, 2\]"),
        (np.zeros((12, 2), np.int64), "of int64"),
        (np.full((12, 2), 101.0), "Expected an embedding within ±100"),
        (np.full((12, 2), np.nan), "Expected an embedding within ±100"),
    ],
)
def test_an_embedding_that_does_not_fit_is_refused(embedding, message):
    with pytest.raises(InputError, match=message):
        ChooseTimestepEnv(full_traces(), observation=embedding)


@pytest.mark.parametrize("action", [-1, 4, 1.5])
def test_an_action_out_of_range_is_refused(action):
    env = ChooseTimestepEnv(full_traces())
    env.reset(seed=0)
    with pytest.raises(InputError, match="Expected an action in 0…3"):
        env.step(action)


def test_a_step_after_the_end_needs_a_reset():
    env = ChooseTimestepEnv(full_traces())
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_the_observation_returned_is_a_copy():
    env = ChooseTimestepEnv(full_traces())
    first, _ = env.reset(options={"samples": 0})
    first[:] = 77
    assert not np.array_equal(env.step(0)[0], first)
    assert not np.array_equal(env.reset(options={"samples": 0})[0], first)


def test_gym_make_without_arguments_shows_a_digit():
    env = gym.make("seenn_env:seenn_env/ChooseTimestep-v0")
    image, _ = env.reset(seed=0)
    assert (image.shape, image.dtype) == ((1, 8, 8), np.uint8)
    assert env.action_space == gym.spaces.Discrete(8)
    envs = gym.make_vec("seenn_env:seenn_env/ChooseTimestep-v0", num_envs=3)
    assert type(envs.unwrapped) is ChooseTimestepVectorEnv
    assert envs.reset(seed=0)[0].shape == (3, 1, 8, 8)


def test_the_packaged_backbone_runs_live_by_name_and_repeats_its_own_traces():
    live = gym.make("seenn_env/ChooseTimestep-v0", backbone="digits", repeats=20, batch_size=256, dtype="float16")
    replay = gym.make("seenn_env/ChooseTimestep-v0")
    agree = []
    for row in range(0, 200, 20):
        for env in (live, replay):
            env.reset(options={"samples": row})
        agree.append(live.step(7)[-1] == replay.step(7)[-1])
    assert sum(agree) >= 9
