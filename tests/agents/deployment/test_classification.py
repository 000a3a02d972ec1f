"""Live classification gives the answers of replay, in order, for inputs of every kind, and loses no image."""

import csv
import itertools
import os
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

import backbones as bb
from agents import Confidence, Margin, Oracle, classify
from agents.deployment import answers
from agents.deployment.inputs import ReadAhead, read_items
from agents.main import main
from backbones.networks import SpikingNetwork
from seenn_env import evaluate, record


@pytest.fixture(scope="module")
def network() -> SpikingNetwork:
    """The packaged network for digits: T = 8, Poisson spikes."""
    return bb.load("digits")


@pytest.fixture(scope="module")
def samples(digits) -> bb.Samples:
    return digits.test.select(slice(0, 200))


@pytest.fixture(scope="module")
def traces(network, samples):
    return record(network, samples, batch_size=16)


@pytest.mark.parametrize("policy", [Confidence(0.8), Margin(0.7)])
def test_answers_are_those_of_replay(network, samples, traces, policy):
    expected = evaluate(policy, traces)
    begin = time.perf_counter()
    found = classify(samples, network, policy, num_slots=16)
    elapsed = time.perf_counter() - begin
    np.testing.assert_array_equal(found.predictions, expected.predictions)
    np.testing.assert_array_equal(found.timesteps, expected.exit_timesteps)
    assert 1 < found.mean_timesteps == expected.mean_timesteps < 8
    assert found.broken == ()
    assert elapsed / 100 < found.seconds <= elapsed
    assert found.images_per_second == pytest.approx(len(samples) / found.seconds)


def test_confidence_is_that_of_the_exit(network, samples, traces):
    found = classify(samples, network, Margin(0.7), num_slots=16)
    exits = traces.logits[np.arange(len(traces)), found.timesteps - 1]
    expected = torch.from_numpy(exits).softmax(-1).amax(-1).numpy()
    np.testing.assert_allclose(found.confidence, expected, rtol=1e-5)


def test_answers_as_they_are_completed_are_the_same_ones(network, samples):
    ordered = list(answers(samples, network, Margin(0.7), num_slots=16))
    assert [answer.place for answer in ordered] == list(range(len(samples)))
    loose = list(answers(samples, network, Margin(0.7), num_slots=16, in_order=False))
    assert [answer.place for answer in loose] != list(range(len(samples)))
    assert sorted(loose, key=lambda answer: answer.place) == ordered


def test_arrays_tensors_generators_and_loaders_are_alike(network, digits):
    images = digits.test.images[:50]
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(images), torch.zeros(50)), batch_size=7
    )
    forms = [
        images,
        torch.from_numpy(images),
        (image for image in images),
        (images[i : i + 8] for i in range(0, 50, 8)),
        loader,
        [(image, "label") for image in images],
        images / np.float32(255),
    ]
    found = [classify(form, network, Margin(0.7), num_slots=8) for form in forms]
    for other in found[1:]:
        np.testing.assert_array_equal(other.predictions, found[0].predictions)
        np.testing.assert_array_equal(other.timesteps, found[0].timesteps)


def test_a_broken_image_is_named_and_the_rest_are_classified(network, digits, tmp_path):
    for number in range(6):
        Image.fromarray(digits.test.images[number, 0]).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"not a picture")
    Image.new("L", (9, 8)).save(tmp_path / "4.png")
    found = classify(tmp_path, network, Margin(0.7), num_slots=4)
    assert found.predictions[[2, 4]].tolist() == [-1, -1]
    assert found.timesteps[[2, 4]].tolist() == [0, 0]
    assert [answer.name for answer in found.broken] == [str(tmp_path / "2.png"), str(tmp_path / "4.png")]
    assert "cannot be read" in found.broken[0].problem
    assert "has shape [1, 8, 9], not the [1, 8, 8]" in found.broken[1].problem
    fine = classify([tmp_path / f"{n}.png" for n in (0, 1, 3, 5)], network, FixedKeys(Margin(0.7)), num_slots=4)
    assert len(fine.predictions) == 4
    assert classify(tmp_path, network, Margin(0.7), num_slots=4, resize=True).broken[0].name.endswith("2.png")


def test_a_pipe_among_the_images_is_named_and_not_read(network, digits, tmp_path):
    Image.fromarray(digits.test.images[0, 0]).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    found = classify(tmp_path, network, Margin(0.7))
    assert [(answer.name, answer.problem) for answer in found.broken] == [
        (str(tmp_path / "b.png"), "is no regular file")
    ]
    assert found.timesteps[0] > 0


class FixedKeys:
    """A policy without a name of its observation, which is given apart."""

    def __init__(self, inner) -> None:
        self.predict = inner.predict


def test_a_warning_says_that_every_image_is_unusable(network, samples):
    images = samples.images
    for given, problem in ((images[0], "none among 1: the first has shape"), (images[:3] / 255 - 1, "cannot be used")):
        with pytest.warns(UserWarning, match=problem):
            classify(given, network, Margin(), num_slots=2)


def test_unusable_entries_are_explained(network):
    good = np.zeros((1, 8, 8), np.uint8)
    bad = [good.astype(np.int32), np.full((1, 8, 8), np.nan, np.float32), "picture", good]
    found = classify(iter(bad), network, Margin(0.7), num_slots=2)
    problems = [answer.problem for answer in found.broken]
    accepted = "cannot be used: Expected images of uint8 or floats in [0, 1], got int32: "
    assert problems[0] == accepted + "pass them as uint8, or as floats / 255."
    assert "finite numbers, got NaN or infinity" in problems[1]
    assert problems[2] == "is no image but a str"
    assert found.timesteps[3] > 0


def test_nothing_to_classify_gives_no_answers(network):
    found = classify(np.empty((0, 1, 8, 8), np.uint8), network, Margin())
    assert len(found.predictions) == 0
    assert np.isnan(found.mean_timesteps)
    broken = classify(iter([None, None]), network, Margin())
    assert len(broken.broken) == 2


def test_the_reader_waits_for_the_network(network):
    asked, before = 0, set(threading.enumerate())

    def endless():
        nonlocal asked
        while True:
            asked += 1
            yield np.zeros((1, 8, 8), np.uint8)

    stream = answers(endless(), network, Margin(0.99), num_slots=4)
    list(itertools.islice(stream, 10))
    stream.close()
    # 8 read ahead, one in hand, 4 in the slots, and what left: at most 10 and another 4 that wait for their turn.
    assert asked <= 8 + 1 + 4 + 14
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
        assert not thread.is_alive(), thread


def test_an_error_of_the_reader_comes_after_the_answers_before_it(network):
    def fails():
        yield np.zeros((1, 8, 8), np.uint8)
        raise OSError("the camera is gone")

    stream = answers(fails(), network, Margin(0.99), num_slots=2)
    with pytest.raises(OSError, match="the camera is gone"):
        list(stream)


def test_a_reader_ahead_gives_everything_once():
    items = read_items(np.zeros((100, 1, 2, 2), np.uint8), (1, 2, 2))
    ahead = ReadAhead(items, 7)
    names = []
    while taken := ahead.take(3):
        assert 1 <= len(taken) <= 3
        names += [item.name for item in taken]
    assert names == [str(n) for n in range(100)]
    assert ahead.take(3) == []


def test_inputs_that_cannot_be_classified_are_refused(network, tmp_path):
    with pytest.raises(bb.InputError, match="an iterable of images\\), got int"):
        classify(7, network, Margin())
    with pytest.raises(bb.InputError, match="an iterable of images\\), got ndarray"):
        classify(np.array(0.5), network, Margin())
    with pytest.raises(bb.InputError, match="found none at"):
        classify(tmp_path / "missing.png", network, Margin())
    with pytest.raises(bb.InputError, match="found none"):
        classify(tmp_path, network, Margin())
    with pytest.raises(bb.InputError, match="a policy that decides as it goes"):
        classify(np.zeros((1, 1, 8, 8), np.uint8), network, Oracle())


def test_the_command_writes_a_line_for_each_image(network, digits, tmp_path, capsys):
    bb.save(network, tmp_path / "net.safetensors")
    settings = ["classify", "--backbone", str(tmp_path / "net.safetensors"), "--slots", "16", "--threshold", "0.7"]
    main([*settings, "--dataset", "digits", "--output", str(tmp_path / "answers.csv")])
    expected = evaluate(Margin(0.7), record(network, digits.test, batch_size=16))
    with (tmp_path / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["prediction"]) for row in rows] == expected.predictions.tolist()
    assert [int(row["timesteps"]) for row in rows] == expected.exit_timesteps.tolist()
    said = capsys.readouterr().out
    assert f"mean timesteps {expected.mean_timesteps:.3f} of 8" in said
    assert f"accuracy {100 * expected.accuracy:.2f} %" in said
    assert "µJ an image: the network's operations up to the exit, counted on 256 random images" in said
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(digits.test.images[0, 0]).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"no")
    with pytest.raises(SystemExit) as stop:
        main([*settings, "--inputs", str(folder), "--class-names", *"abcdefghij", "--optimize"])
    assert stop.value.code == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "name,prediction,class,timesteps,confidence,problem"
    assert printed.out.splitlines()[1].split(",")[2] in "abcdefghij"
    assert "b.png cannot be read" in printed.err
    assert "1 could not be used" in printed.err


def test_the_commands_bad_input_is_one_sentence(network, tmp_path, capsys):
    bb.save(network, tmp_path / "net.safetensors")
    settings = ["classify", "--backbone", str(tmp_path / "net.safetensors")]
    for more, words in (
        ([], "either --inputs or a --dataset"),
        (["--dataset", "digits", "--slots", "0"], "slots to be a whole number of 1 or more, got 0"),
        (["--dataset", "digits", "--class-names", "one"], "Expected 10 class names, got 1"),
        (["--dataset", "digits", "--policy", "luck"], "rule (or a policy file), got 'luck'"),
        (["--inputs", str(tmp_path / "none.png")], "found none at"),
    ):
        with pytest.raises(SystemExit) as stop:
            main([*settings, *more, "--output", str(tmp_path / "out.csv")])
        assert stop.value.code == 2
        assert words in capsys.readouterr().err
        assert not (tmp_path / "out.csv").exists()
