"""Pictures of episodes: fixed in shape, true to the episode, headless."""

import itertools
import re
import warnings

import gymnasium as gym
import matplotlib
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg

from backbones import InputError
from seenn_env import ChooseTimestepEnv, EarlyExitEnv, EarlyExitVectorEnv, record
from seenn_env.environments.dynamics import LiveDynamics
from seenn_env.rendering import modes
from seenn_env.rendering.canvas import BLUE, INK, OTHER, RIGHT, text_width
from seenn_env.rendering.episode import Episode, Score
from seenn_env.rendering.frame import rgb_array
from seenn_env.rendering.text import ansi
from tests.helpers.recorded import BATCH, few_samples, full_traces, small_backbone
from tests.helpers.traces import make_traces

matplotlib.use("agg")  # as where there is no display

COLORS = re.compile(r"\x1b\[[\d;]*m")


def frames_of(env: EarlyExitEnv, row: int, exit_at: int) -> list:
    env.reset(seed=0, options={"samples": row})
    frames = [env.render()]
    for t in range(1, exit_at + 1):
        env.step(int(t == exit_at))
        frames.append(env.render())
    return frames


def test_frames_have_one_shape_and_change_with_every_step(packaged):
    frames = frames_of(EarlyExitEnv(packaged, render_mode="rgb_array"), 3, 4)
    assert {frame.shape for frame in frames} == {frames[0].shape}
    assert all(frame.dtype == np.uint8 and frame.shape[2] == 3 for frame in frames)
    for one, two in itertools.pairwise(frames):
        assert not np.array_equal(one, two)


def test_a_right_exit_is_drawn_differently_from_a_wrong_one(packaged):
    part = packaged.select("policy")
    right, wrong = (int(np.flatnonzero(part.correct[:, 0] == kind)[0]) for kind in (True, False))
    one, two = (frames_of(EarlyExitEnv(part, render_mode="ansi"), row, 1)[-1] for row in (right, wrong))
    assert "exit at 1 of 8: right" in COLORS.sub("", one)
    assert "exit at 1 of 8: wrong" in COLORS.sub("", two)


def test_text_has_a_fixed_number_of_lines_within_the_width_and_ends_its_colours(packaged):
    frames = frames_of(EarlyExitEnv(packaged, render_mode="ansi"), 3, 3)
    assert len({frame.count("\n") for frame in frames}) == 1
    for line in "\n".join(frames).splitlines():
        assert len(COLORS.sub("", line)) <= 80
        assert not line.endswith(" ")
        assert "\x1b[" not in line or line.rstrip().rfind("\x1b[0m") > line.rfind("\x1b[3")


@pytest.mark.parametrize(("T", "K"), [(1, 2), (4, 10), (32, 10), (4, 1000)])
@pytest.mark.parametrize("shape", [None, (1, 8, 8), (3, 32, 32), (2, 34, 34), (3, 300, 200)])
def test_any_size_of_problem_and_image_is_drawn(T, K, shape):
    rng = np.random.default_rng(0)
    image = None if shape is None else rng.integers(256, size=shape, dtype=np.uint8)
    sizes = set()
    for t in (0, 1, T):
        episode = Episode(
            logits=rng.normal(size=(t, K)),
            label=1,
            timesteps=T,
            exited=t == T,
            class_names=tuple(f"class number {k}" for k in range(K)),
            image=image,
            spikes=rng.random((t, 48)),
            potentials=rng.normal(size=(t, 48)),
            score=Score("score", rng.normal(size=min(t, T - 1)), -2.0),
            rewards=(0.5, 1.0),
        )
        sizes.add(rgb_array(episode).shape)
        assert "class num" in COLORS.sub("", ansi(episode))
    assert len(sizes) == 1


def test_the_bars_are_the_probabilities():
    logits = np.log(np.array([[0.75, 0.25]]))
    one, two = (rgb_array(Episode(logits=logits[:, order], label=0, timesteps=2)) for order in ([0, 1], [1, 0]))
    assert not np.array_equal(one, two)
    assert "75" in COLORS.sub("", ansi(Episode(logits=logits, label=0, timesteps=2)))


@pytest.mark.parametrize("T", [2, 8, 64])
def test_the_areas_of_the_bars_are_in_the_ratio_of_the_probabilities(T):
    """Lying bars and, where columns are narrow, standing ones."""
    frame = rgb_array(Episode(logits=np.log(np.array([[0.75, 0.25]])), label=0, timesteps=T))
    bars = frame[88:340, 360:]
    right, other = ((bars == color).all(-1).sum() for color in (RIGHT, OTHER))
    assert other / right == pytest.approx(1 / 3, rel=0.3)  # one digit at the least


def test_the_sides_of_a_frame_suit_video_codecs():
    for T in (1, 3, 4, 8, 50):
        height, width, _ = rgb_array(Episode(logits=np.zeros((1, 3)), label=0, timesteps=T)).shape
        assert height % 16 == width % 16 == 0


def test_of_many_classes_the_ten_likeliest_so_far_are_shown_and_the_answer_always():
    logits = np.zeros((2, 1000))
    logits[0, 100:120] = 8 + np.arange(20) / 10
    logits[1, 7] = 1
    episode = Episode(logits=logits, label=3, timesteps=4)
    assert episode.shown_classes().tolist() == [7, *range(111, 120)]


def test_without_images_there_are_bars_only(traces):
    frames = frames_of(EarlyExitEnv(traces, render_mode="rgb_array"), 0, 2)
    assert frames[0].std() > 0


@pytest.mark.parametrize("mode", ["rgb_array", "ansi"])
def test_live_and_replayed_frames_are_the_same(mode):
    """Images, spikes, potentials and rewards included."""
    replayed = EarlyExitEnv(full_traces(), render_mode=mode)
    settings = {"repeats": 2, "batch_size": BATCH, "dtype": "float16"}
    live = EarlyExitEnv(backbone=small_backbone(), samples=few_samples(), render_mode=mode, **settings)
    for row in (5, 17):
        for one, two in zip(frames_of(replayed, row, 3), frames_of(live, row, 3), strict=True):
            assert np.array_equal(one, two)


def test_spikes_and_potentials_are_shown_as_they_come():
    frames = frames_of(EarlyExitEnv(backbone=small_backbone(), samples=few_samples(), render_mode="ansi"), 5, 3)
    assert all("spikes" in frame and "potential" in frame for frame in frames)
    strip = [rgb_array(Episode(np.zeros((t, 2)), 0, 4, spikes=np.ones((t, 8))))[472:520, 360:720] for t in (1, 2)]
    dark = [(part.sum(-1) < 200).sum() for part in strip]
    assert dark[1] == 2 * dark[0] > 0


def test_the_score_stands_beside_its_threshold_in_the_policys_own_units():
    def reason(values, threshold, below=False, t=1):
        score = Score("entropy", np.array(values), threshold, below)
        return Episode(np.zeros((t, 2)), 0, 2, score=score).reason()

    assert reason([0.83], 0.8) == "0.83 ≥ 0.80"
    assert reason([0.8001], 0.8004) == "0.8001 < 0.8004"
    assert reason([-0.5], -0.5) == "−0.50 ≥ −0.50"
    assert reason([0.83], 0.8, below=True) == "0.83 > 0.80"
    assert reason([0.9, 0.1], 0.2, below=True, t=2) == "0.10 ≤ 0.20"
    assert reason([0.5], 0.8, t=2) == "last timestep"
    assert reason([], 0.8) == ""
    lines = ansi(Episode(np.zeros((0, 2)), 0, 2)).splitlines()
    assert lines[1] == "margin"


def test_without_a_policy_the_score_is_the_margin():
    episode = Episode(logits=np.log(np.array([[0.7, 0.1, 0.2]])), label=0, timesteps=2)
    assert episode.shown_score().name == "margin"
    assert episode.reason() == "0.50"
    assert "margin 0.50" in COLORS.sub("", ansi(episode))
    assert Episode(logits=np.zeros((1, 1)), label=0, timesteps=2).reason() == "1.00"


@pytest.mark.parametrize("T", [2, 64])
def test_the_bar_of_a_score_ends_at_the_threshold_line_where_they_are_equal(T):
    score = Score("score", np.array([0.25]), 0.25)
    frame = rgb_array(Episode(np.zeros((1, 10)), 0, T, score=score))
    bar, line = (np.flatnonzero((frame[456:520, 361] == color).all(-1)) for color in (BLUE, INK))
    assert bar.max() == 63
    assert line.max() == bar.min() - 1 or line.max() == bar.min()
    assert 0 < line.min() < 48 <= bar.min()


def test_scores_without_bounds_and_infinite_thresholds_stay_on_the_scale():
    for threshold in (-np.inf, np.inf, 3.0, None):
        heights = Score("gap", np.array([-2.0, 7.0]), threshold).heights()
        assert heights[:2].tolist() == [0, 1]
        assert ((heights >= 0) & (heights <= 1)).all()


def test_the_reward_is_paid_at_the_exit_and_time_costs_what_the_first_timestep_would_have_paid_more(packaged):
    part = packaged.select("policy")
    right = int(np.flatnonzero(part.correct.all(1))[0])
    texts = [COLORS.sub("", text) for text in frames_of(EarlyExitEnv(part, render_mode="ansi"), right, 3)]
    assert [text.splitlines()[1].split("reward ")[1] for text in texts] == [
        "0   time 0",
        "0   time −0.5",
        "0   time −0.75",
        "+0.25   time −0.75",
    ]
    env = EarlyExitEnv(part, render_mode="ansi", reward="linear", reward_options={"cost": 0.7})
    assert "reward +0.8   time −0.2" in COLORS.sub("", frames_of(env, right, 3)[-1])


@pytest.mark.parametrize("paid", [0.5**7, -(0.5**31), 0.0143, 123.456, 1e-9, -0.9375])
def test_a_reward_of_any_size_fits_beside_the_price_of_time(paid):
    episode = Episode(np.zeros((8, 2)), 0, timesteps=8, exited=True, rewards=(paid, 1.0))
    now, time = episode.reward_so_far()
    assert float(now.replace("−", "-")) == pytest.approx(paid, rel=0.3)  # one digit at the least
    assert text_width(now, 13, bold=True) + text_width(f"time {time}", 13) <= 224 - 88


def test_the_reward_in_measured_energy_is_the_same_live_and_replayed():
    traces = record(small_backbone(), few_samples(), energy=True, batch_size=BATCH)
    replayed = EarlyExitEnv(traces, reward="energy", render_mode="ansi")
    live = EarlyExitEnv(
        backbone=small_backbone(), samples=few_samples(), reward="energy", batch_size=BATCH, render_mode="ansi"
    )
    for one, two in zip(frames_of(replayed, 5, 3), frames_of(live, 5, 3), strict=True):
        lines = [COLORS.sub("", text).splitlines()[1] for text in (one, two)]
        assert lines[0] == lines[1]
    assert re.search(r"reward [+−]\S+   time −0\.0", lines[0])


@pytest.mark.parametrize("size", [272, 544, 1088])
def test_a_frame_is_as_high_as_asked_for_with_the_same_content(packaged, size):
    env = EarlyExitEnv(packaged, render_mode="rgb_array", render_size=size)
    frame = frames_of(env, 3, 2)[-1]
    assert frame.shape == (size, size * 960 // 544 // 16 * 16, 3)
    envs = EarlyExitVectorEnv(1, packaged, render_mode="rgb_array", render_size=size)
    envs.reset(seed=0)
    assert envs.render()[0].shape == frame.shape
    usual = frames_of(EarlyExitEnv(packaged, render_mode="rgb_array"), 3, 2)[-1]
    green = [(pixels == RIGHT).all(-1).mean() for pixels in (frame, usual)]
    assert green[0] == pytest.approx(green[1], rel=0.1)


@pytest.mark.parametrize(("size", "message"), [(500, "got 500: use 496"), (100, "got 100: use 272"), (1.5, "got 1.5")])
def test_sizes_that_frames_cannot_have_are_refused(packaged, size, message):
    for kind in (EarlyExitEnv, EarlyExitVectorEnv, ChooseTimestepEnv):
        with pytest.raises(InputError, match=message):
            kind(traces=packaged, render_size=size)


def test_without_a_mode_nothing_is_kept_or_drawn(monkeypatch):
    monkeypatch.setattr(LiveDynamics, "_store_activity", lambda *given: 1 / 0)
    env = EarlyExitEnv(backbone=small_backbone(), samples=few_samples())
    env.reset(seed=0)
    env.step(0)


def test_human_names_the_missing_package_once_and_shows_episodes_in_the_terminal(packaged, capsys, caplog):
    modes._warn_of_no_window.cache_clear()
    for _ in range(2):
        env = EarlyExitEnv(packaged, render_mode="human")
        env.reset(seed=0)
        env.step(1)
        assert env.render() is None
        env.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "needs a window, but matplotlib has its backend 'agg' only" in caplog.text.replace("Agg", "agg")
    assert COLORS.sub("", capsys.readouterr().out).count("timestep 1 of 8") == 6


def test_human_survives_a_display_that_cannot_be_reached(packaged, caplog, monkeypatch):
    def fail(*given, **named):
        raise ImportError("Cannot load backend 'TkAgg'")

    monkeypatch.setattr("matplotlib.pyplot.figure", fail)
    modes._warn_of_no_window.cache_clear()
    env = EarlyExitEnv(packaged, render_mode="human")
    env.reset(seed=0)
    assert "but Cannot load backend 'TkAgg': connect a display" in caplog.text


def test_human_shows_every_step_in_one_window_until_it_is_closed(packaged, monkeypatch, caplog):
    shown = []
    monkeypatch.setattr(FigureCanvasAgg, "required_interactive_framework", "none, but it counts")
    monkeypatch.setattr(FigureCanvasAgg, "start_event_loop", lambda canvas, seconds: shown.append(canvas.figure.number))
    monkeypatch.setattr("matplotlib.figure.Figure.show", lambda figure: None)
    env = EarlyExitEnv(packaged, render_mode="human")
    env.reset(seed=0)
    env.step(0)
    env.step(1)
    assert len(shown) == 3
    assert len(set(shown)) == 1
    env.close()
    env.close()
    assert not plt.fignum_exists(shown[0])
    env.reset(seed=1)
    plt.close("all")  # as by hand
    env.step(0)
    assert len(shown) == 4
    assert not caplog.records


@pytest.mark.parametrize("kind", [EarlyExitEnv, ChooseTimestepEnv])
@pytest.mark.parametrize("mode", ["rgb_array", "ansi", "human"])
def test_gymnasiums_checker_passes_with_rendering(kind, mode, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        name = {EarlyExitEnv: "EarlyExit", ChooseTimestepEnv: "ChooseTimestep"}[kind]
        env = gym.make(f"seenn_env/{name}-v0", render_mode=mode)
        check_env(env.unwrapped)
    if mode == "human":
        assert "timestep" in capsys.readouterr().out  # no display here: the terminal


def test_vector_environments_give_a_frame_for_each_slot(packaged):
    envs = EarlyExitVectorEnv(3, packaged, render_mode="rgb_array")
    envs.reset(seed=0)
    frames = envs.render()
    assert len(frames) == 3
    assert not np.array_equal(frames[0], frames[1])
    envs.step(np.array([0, 0, 1]))
    assert not np.array_equal(envs.render()[0], frames[0])


def test_a_slot_is_rendered_as_a_single_environment_and_shows_its_exit_until_it_starts_afresh(packaged):
    part = packaged.select("policy")
    envs = EarlyExitVectorEnv(2, part, autoreset_mode="next_step", render_mode="ansi")
    envs.reset(options={"samples": np.array([5, 9])})
    envs.step(np.array([0, 1]))
    single = EarlyExitEnv(part, render_mode="ansi")
    single.reset(options={"samples": 9})
    single.step(1)
    frames = envs.render()
    assert frames[1] == single.render()
    assert "running" in frames[0]
    envs.step(np.array([0, 0]))
    assert "running" in envs.render()[1]


def test_frames_can_be_collected_by_gymnasiums_own_wrapper():
    env = gym.wrappers.RenderCollection(gym.make("seenn_env/EarlyExit-v0", render_mode="rgb_array"))
    env.reset(seed=0)
    env.step(0)
    assert len(env.render()) == 2


def test_unknown_modes_and_rendering_before_reset_or_without_a_mode(traces):
    with pytest.raises(InputError, match=r"render_mode, got 'svg'. Known: ansi, human, rgb_array"):
        EarlyExitEnv(traces, render_mode="svg")
    with pytest.raises(InputError, match=r"render_mode, got 'human'. Known: ansi, rgb_array"):
        EarlyExitVectorEnv(2, traces, render_mode="human")
    with pytest.raises(gym.error.ResetNeeded, match=r"reset\(\) before render"):
        EarlyExitEnv(traces, render_mode="ansi").render()
    with pytest.raises(gym.error.ResetNeeded, match=r"reset\(\) before render"):
        EarlyExitVectorEnv(2, traces, render_mode="ansi").render()
    env = EarlyExitEnv(traces)
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="without specifying any render mode"):
        assert env.render() is None


def test_drawing_is_fast_enough_for_a_gif():
    import time

    episode = Episode(logits=np.random.default_rng(0).normal(size=(4, 10)), label=1, timesteps=8)
    rgb_array(episode)
    spent = []
    for _ in range(20):
        begin = time.perf_counter()
        rgb_array(episode)
        spent.append(time.perf_counter() - begin)
    assert min(spent) < 0.05


def test_rows_without_an_image_have_none():
    traces = make_traces(10)
    from seenn_env.rendering.episode import recorded_episode

    assert recorded_episode(traces, 3, 2, False).image is None
