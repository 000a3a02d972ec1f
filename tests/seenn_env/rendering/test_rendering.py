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
from seenn_env import ChooseTimestepEnv, EarlyExitEnv, EarlyExitVectorEnv
from seenn_env.environments.sources import Live
from seenn_env.rendering import window
from seenn_env.rendering.canvas import OTHER, RIGHT
from seenn_env.rendering.episode import Episode
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
            activity=rng.random((t, 48)),
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
    bars = frame[88:360, 360:]
    right, other = ((bars == color).all(-1).sum() for color in (RIGHT, OTHER))
    assert other / right == pytest.approx(1 / 3, rel=0.05)


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
    """Images and spikes included."""
    replayed = EarlyExitEnv(full_traces(), render_mode=mode)
    settings = {"repeats": 2, "batch_size": BATCH, "dtype": "float16"}
    live = EarlyExitEnv(backbone=small_backbone(), samples=few_samples(), render_mode=mode, **settings)
    for row in (5, 17):
        for one, two in zip(frames_of(replayed, row, 3), frames_of(live, row, 3), strict=True):
            assert np.array_equal(one, two)


def test_spikes_are_shown_as_they_come():
    frames = frames_of(EarlyExitEnv(backbone=small_backbone(), samples=few_samples(), render_mode="ansi"), 5, 3)
    assert all("spikes" in frame for frame in frames)
    strip = [rgb_array(Episode(np.zeros((t, 2)), 0, 4, activity=np.ones((t, 8))))[350:400, 360:720] for t in (1, 2)]
    dark = [(part.sum(-1) < 200).sum() for part in strip]
    assert dark[1] == 2 * dark[0] > 0


def test_without_a_mode_nothing_is_kept_or_drawn(monkeypatch):
    monkeypatch.setattr(Live, "_keep_activity", lambda *given: 1 / 0)
    env = EarlyExitEnv(backbone=small_backbone(), samples=few_samples())
    env.reset(seed=0)
    env.step(0)


def test_human_says_once_what_is_missing_and_shows_episodes_in_the_terminal(packaged, capsys, caplog):
    window._say.cache_clear()
    for _ in range(2):
        env = EarlyExitEnv(packaged, render_mode="human")
        env.reset(seed=0)
        env.step(1)
        assert env.render() is None
        env.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "needs a window, but matplotlib has its backend 'agg' only" in caplog.text
    assert COLORS.sub("", capsys.readouterr().out).count("timestep 1 of 8") == 6


def test_human_survives_a_display_that_cannot_be_reached(packaged, caplog, monkeypatch):
    def fail(*given, **named):
        raise ImportError("Cannot load backend 'TkAgg'")

    monkeypatch.setattr("matplotlib.pyplot.figure", fail)
    window._say.cache_clear()
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
    assert "still looking" in frames[0]
    envs.step(np.array([0, 0]))
    assert "still looking" in envs.render()[1]


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
    from seenn_env.rendering.modes import episode_of

    assert episode_of(traces, 3, 2, False).image is None
