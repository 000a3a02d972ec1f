"""`seenn benchmark` in small: its figures, its table and its contenders."""

import json

import numpy as np
import pytest

from agents.commands.benchmark.contenders import Contenders, Endless, Prescribed, prescribed_times
from agents.commands.benchmark.live import around, median_interval
from agents.main import main
from backbones import SlotPool
from seenn_env import stream
from seenn_env.streaming import ArrayFeed
from tests.helpers.recorded import few_samples, small_backbone

SMALL = ["benchmark", "--slots", "8", "--rounds", "2", "--images", "64", "--clock", "cpu"]


def test_it_writes_figures_and_the_table(tmp_path, capsys):
    main([*SMALL, "--output", str(tmp_path / "live")])
    result = json.loads((tmp_path / "live" / "live.json").read_text())
    contenders = result["slots"]["8"]["contenders"]
    assert len(contenders) == 9
    best = contenders[result["slots"]["8"]["held_against"]]
    assert best["share_of_limit"] == pytest.approx(1, abs=1e-6)
    full = [contenders[name] for name in ("all T timesteps", "all T, memory reused")]
    assert best["images_per_second"][1] == max(each["images_per_second"][1] for each in full)
    assert (
        contenders["all T timesteps"]["row_steps_per_image"]
        == result["slots"]["8"]["contenders"]["post-hoc mask"]["row_steps_per_image"]
    )
    for contender in contenders.values():
        low, high = contender["interval"]
        assert low <= contender["share_of_limit"] <= high
    assert len(result["accuracy_after"]) == 8
    assert (tmp_path / "live" / "live.txt").read_text() in capsys.readouterr().out


def test_a_backbone_without_images_is_shown_noise(tmp_path):
    from backbones import save

    save(small_backbone(encoding="direct"), tmp_path / "net.safetensors")
    main([*SMALL, "--backbone", str(tmp_path / "net.safetensors"), "--output", str(tmp_path / "live")])
    assert json.loads((tmp_path / "live" / "live.json").read_text())["images"] == "noise, calibration"


@pytest.mark.parametrize("mean", [1.0, 1.15, 1.4, 3.0, 4.0])
def test_prescribed_times_have_the_mean_that_is_asked_for_and_are_kept(mean):
    times = prescribed_times(mean, 4, 0)
    assert times.mean() == pytest.approx(mean, abs=0.03)
    assert set(times) <= {1, 2, 3, 4}
    images = np.repeat(few_samples().images, 10, 0)
    exits = list(stream(SlotPool(small_backbone(), 8), ArrayFeed(images), Prescribed(times)))
    places, timesteps = (np.concatenate([getattr(each, name) for each in exits]) for name in ("places", "timesteps"))
    assert np.array_equal(timesteps[np.argsort(places)], times[: len(images)])


def test_contenders_count_their_row_steps():
    ticks = iter(range(1000))
    images = np.repeat(few_samples().images, 3, 0)
    contenders = Contenders(small_backbone().optimize(), images, 8, lambda: float(next(ticks)))
    three = Prescribed(np.array([3, 1, 1]))
    assert contenders.stem() == (8, 0, 1)
    assert contenders.full() == contenders.full(reuse=True) == contenders.full(reuse=True) == (8, 32, 1)
    assert contenders.together(three, stop=False) == (8, 32, 1)
    assert contenders.together(three, stop=True) == (8, 24, 1)
    turn = contenders.live(Prescribed(np.array([2])))
    done = [turn() for _ in range(4)]
    assert sum(each.row_steps for each in done) == 2 * sum(each.images for each in done)


def test_images_come_round_and_round():
    feed = Endless(np.arange(5))
    assert [feed(3)[0].tolist() for _ in range(3)] == [[0, 1, 2], [3, 4, 0], [1, 2, 3]]


def test_a_price_is_that_of_the_turns_before_and_after():
    order, price = ["full", "one", "full", "two", "two", "full"], np.array([[1.0, 9, 3, 9, 9, 7], [2, 9, 2, 9, 9, 4]])
    assert around(price, order, "full", [1, 3, 4]).tolist() == [[2, 5, 5], [2, 3, 3]]
    assert around(price, order, "full", [0, 2, 5]).tolist() == price[:, [0, 2, 5]].tolist()
    assert around(price, order, "one", [0, 5]).tolist() == [[9, 9], [9, 9]]


def test_the_interval_of_a_median_lies_around_it():
    low, high = median_interval(np.array([1.0, 2, 3, 4, 100]), 0)
    assert 1 <= low <= 3 <= high <= 100
