"""The one-shot network minimises the paper's loss, sees only the image, and is evaluated, calibrated and saved."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from agents import TimestepNetwork, calibrate, compare, load, save, train
from agents.calibration.costs import own_energy
from backbones import InputError
from backbones.energy import EnergyModel
from seenn_env import Traces, evaluate
from seenn_env.rewards import SeennReward
from tests.helpers.traces import make_traces

MAC_PJ = EnergyModel().pj_per_mac


def telling(N: int = 400, T: int = 3, *, images: bool = True, split: str = "policy") -> Traces:
    """Dark images are right from timestep 1, bright ones only at T, with equal confidence."""
    rng = np.random.default_rng(0)
    bright = rng.random(N) < 0.5
    shown = rng.integers(0, 100, size=(N, 1, 6, 6)) + 150 * bright[:, None, None, None]
    late = bright[:, None] & (np.arange(1, T + 1) < T)
    says = np.where(late, 1, 0)
    logits = 2.0 * np.eye(3, dtype=np.float32)[says]
    fields = {"images": shown.astype(np.uint8), "image_index": np.arange(N)} if images else {}
    return Traces(logits=logits, labels=np.zeros(N, int), split=split, **fields)


def test_the_loss_is_the_papers_worked_out_by_hand():
    rewards = SeennReward(2.0)(np.array([False, True, True]), np.arange(1, 4), 3)
    assert -(np.array([0.5, 0.3, 0.2]) @ rewards) == pytest.approx(0.5 * 2 - 0.3 / 2 - 0.2 / 4)


def test_it_learns_which_images_need_long(tmp_path):
    traces = telling()
    policy = train("one-shot", traces, reward_options={"beta": 1.0})
    found = evaluate(policy, traces)
    assert found.accuracy > 0.98
    bright = traces.images.mean((1, 2, 3)) > 125
    assert (found.exit_timesteps == np.where(bright, 3, 1)).mean() > 0.98
    again = load(save(policy, tmp_path / "policy.safetensors"))
    assert isinstance(again, TimestepNetwork)
    assert again.settings == policy.settings
    assert np.array_equal(evaluate(again, traces).exit_timesteps, found.exit_timesteps)


def test_it_acts_in_choose_timestep_as_it_is_evaluated():
    traces = telling(60)
    policy = train("one-shot", traces, epochs=2)
    exits = evaluate(policy, traces).exit_timesteps
    env = gym.make("seenn_env:seenn_env/ChooseTimestep-v0", traces=traces)
    for row in range(10):
        image, _ = env.reset(options={"samples": row})
        actions, _ = policy.predict(image[None])
        assert actions[0] + 1 == exits[row]
        assert env.step(actions[0])[4]["timestep"] == exits[row]


def test_the_packaged_digits_have_images_and_any_target_is_reached(packaged):
    policy = train("one-shot", packaged, target_timesteps=1.5, epochs=5, reward="linear")
    calibration = packaged.select("calibration")
    assert evaluate(policy, calibration).mean_timesteps == pytest.approx(1.5, abs=0.02)
    table = compare({"one-shot": policy}, packaged.select("test")).table()
    assert "one-shot" in table


def test_traces_without_images_are_refused():
    with pytest.raises(InputError, match="images of the samples, got none"):
        train("one-shot", telling(images=False))


def test_means_over_frames_which_show_later_timesteps_are_refused():
    still = telling(60)
    policy = train("one-shot", still, epochs=1)
    frames = replace(still, split="calibration", info={"frames": 3})
    for use in (
        lambda: train("one-shot", replace(frames, split="policy"), epochs=1),
        lambda: evaluate(policy, frames),
        lambda: calibrate(policy, frames, target_timesteps=2),
        lambda: compare({"policy": policy}, frames),
    ):
        with pytest.raises(InputError, match="still images for the observation 'image', got frames over time"):
            use()


def test_its_own_cost_is_charged_once():
    policy = train("one-shot", telling(20), epochs=1, width=4)
    macs = 36 * 4 * 9 + 9 * 8 * 4 * 9 + 4 * 16 * 8 * 9 + 16 * 3
    assert policy.macs == macs
    assert own_energy(policy, 3).tolist() == [macs * MAC_PJ] * 3


def test_bad_input_is_one_sentence():
    policy = train("one-shot", telling(20), epochs=1)
    for run, message in [
        (lambda: policy.chances(np.zeros((2, 3, 6, 6), np.uint8)), r"images \[B, 1, 6, 6\], got \[2, 3, 6, 6\]"),
        (lambda: policy.trace_scores(make_traces(5)), "the network's 4 timesteps, got one that was made for 3"),
        (lambda: train("one-shot", telling(20), observation="features"), "the observation 'image' for 'one-shot'"),
        (lambda: train("one-shot", telling(20), width=0), "width to be a whole number of 1 or more, got 0"),
        (lambda: calibrate(policy, telling(20, split="test"), target_timesteps=1.5), "nothing is chosen on test"),
    ]:
        with pytest.raises(InputError, match=message):
            run()
