"""`seenn watch` of several policies: the same image, in the order of exit, as pictures, a GIF or text."""

import re

import numpy as np
import pytest
from PIL import Image

from agents import Entropy, FixedTimestep, Margin
from agents.commands.side_by_side import in_order_of_exit, moments, picture, texts
from agents.commands.watch import play
from seenn_env import EarlyExitEnv
from seenn_env.rendering import ansi, rgb_array
from tests.helpers.commands import refused, seenn

COLORS = re.compile(r"\x1b\[[\d;]*m")
WATCH = ("watch", "--policy", "entropy", "margin", "digits/ppo")


@pytest.fixture(scope="module")
def played():
    """Plays that exit at 4, 1 and 2, and their names, in the order of exit."""
    env = EarlyExitEnv(split="test")
    plays = [play(env, FixedTimestep(exit), None, 5) for exit in (4, 1, 2)]
    return in_order_of_exit(plays, ["four", "one", "two"])


def test_policies_stand_in_the_order_of_exit_and_keep_their_exit(played):
    plays, names = played
    assert names == ["one", "two", "four"]
    together = moments(plays)
    assert len(together) == len(plays[2]) == 5
    assert [[each.timestep for each in moment] for moment in together] == [
        [1, 1, 1],
        [1, 2, 2],
        [1, 2, 3],
        [1, 2, 4],
        [1, 2, 4],
    ]
    assert [[each.exited for each in moment] for moment in together[1:3]] == [[True, False, False], [True, True, False]]


def test_a_picture_is_a_grid_of_frames_below_their_names(played):
    plays, names = played
    (moment,) = moments(plays)[2:3]
    whole, frames = picture([*moment, moment[0]], [*names, "again"]), [rgb_array(each) for each in (*moment, moment[0])]
    height, width, _ = frames[0].shape
    title = len(whole) // 2 - 8 - height
    assert title > 0
    for place, frame in enumerate(frames):  # 2 × 2
        top, left = place // 2 * (title + height + 16), place % 2 * (width + 16)
        assert np.array_equal(whole[top + title : top + title + height, left : left + width], frame)
        assert (whole[top : top + title, left : left + width] < 128).any()  # ink
    assert whole.shape == (2 * (title + height) + 16, 2 * width + 16, 3)
    three = picture(moment, names)
    assert three.shape == whole.shape
    assert (three[title + height :, width:] == 255).all()
    assert np.array_equal(picture(moment[:1], names[:1]), frames[0])
    long = picture(moment[:2], ["/very/long/folder" * 20 + "/policy", "two"], 272)
    assert long.shape == ((title + height) // 2, 2 * rgb_array(moment[0], size=272).shape[1] + 16, 3)


def test_a_wide_terminal_has_texts_beside_each_other_and_a_narrow_one_below(played):
    plays, names = played
    together = moments(plays)
    wide = [COLORS.sub("", text).split("\n") for text in texts(together, names, 280, True)]
    assert len({len(lines) for lines in wide}) == 1  # they replace each other in one place
    for moment, lines in zip(together, wide, strict=True):
        assert re.fullmatch(r"one +two +four", lines[0])
        assert re.findall(r"timestep (\d) of 8", lines[1]) == [str(each.timestep) for each in moment]
        assert max(map(len, lines)) <= 280
        starts = [lines[0].index(name) for name in names]
        assert [match.start() for match in re.finditer("timestep", lines[1])] == starts
    narrow = texts(together, names, 80, True)
    assert narrow[0] == "\n".join(
        f"{name}\n{ansi(each, width=80)}" for name, each in zip(names, together[0], strict=True)
    )


def test_seenn_watch_shows_the_same_image_to_every_policy(tmp_path, capsys):
    seenn(*WATCH, "--row", 57, "--output", tmp_path / "frames")
    lines = capsys.readouterr().out.splitlines()
    exits = [int(re.search(r"exit at (\d) of 8: ", line)[1]) for line in lines[:-1]]
    assert exits == sorted(exits)
    assert {line.split(":")[0] for line in lines[:-1]} == {"entropy", "margin", "digits/ppo"}
    assert all(line.endswith("label 9") for line in lines[:-1])
    env = EarlyExitEnv(split="test")
    for name, policy in (("entropy", Entropy()), ("margin", Margin())):
        last = play(env, policy, 57, 0)[-1]
        assert f"{name}: {last.verdict()}; answer {last.answer}, label 9" in lines
    pictures = sorted((tmp_path / "frames").glob("*.png"))
    assert len(pictures) == max(exits) + (max(exits) < 8)
    seenn(*WATCH, "--row", 57, "--output", tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif, Image.open(pictures[0]) as first:
        assert gif.n_frames == len(pictures)
        assert gif.size == first.size == (2 * 960 + 16, 2 * 576 + 16)
    seenn(*WATCH, "--row", 57, "--size", 272, "--output", tmp_path / "small.gif")
    with Image.open(tmp_path / "small.gif") as gif:
        assert gif.size == (2 * 480 + 16, 2 * 288 + 16)
    assert "a multiple of 16 from 272 to 2176 pixels, got 500: use 496" in refused(
        capsys, *WATCH, "--size", 500, "--output", tmp_path / "none.gif"
    )


def test_an_image_at_random_is_the_same_for_all(capsys):
    seenn(*WATCH, "--seed", 3)
    *_, first, second, third = capsys.readouterr().out.splitlines()
    labels = {line.rsplit("label ", 1)[1] for line in (first, second, third)}
    assert len(labels) == 1
    seenn(*WATCH, "--seed", 3, "--backbone", "digits")
    assert capsys.readouterr().out.splitlines()[-1].rsplit("label ", 1)[1] in labels


def test_several_policies_have_no_one_threshold_and_differ(capsys):
    for options, message in (
        (("--threshold", "0.9"), "no --threshold with several policies, got 0.9"),
        (("--policy", "margin", "margin"), "one policy or several different ones, got margin margin"),
        (("--policy",), "several different ones, got none"),
        (("--policy", "margin", "luck"), "got 'luck'"),
    ):
        assert message in refused(capsys, *WATCH, *options), options
