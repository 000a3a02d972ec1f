"""Errors of functions, in a command's sentence: arguments are spelt as options, and the user's own words stay."""

import warnings

import pytest

from agents.commands.option_names import spelt_as_options
from agents.commands.table import COMMANDS
from tests.helpers.commands import refused, seenn
from tests.helpers.traces import make_traces


@pytest.mark.parametrize(
    ("command", "sentence", "spelt"),
    [
        (
            "train",
            "Expected target_timesteps from 1 to T = 8, got 9.",
            "Expected --target-timesteps from 1 to T = 8, got 9.",
        ),
        ("headroom", "Expected folds from 2 to 9, got 1.", "Expected --folds from 2 to 9, got 1."),
        ("record", "Expected repeats to be a number, got 0.", "Expected --repeats to be a number, got 0."),
        ("train", "Expected repeats to be a number, got 0.", "Expected repeats to be a number, got 0."),
        ("watch", "Expected a, got none: record with images=True.", "Expected a, got none: record with --images."),
        ("compare", "Expected a, got b: choose one by split=….", "Expected a, got b: choose one by --split …."),
        (
            "train-backbone",
            "Expected encoding='direct' and timesteps=1.",
            "Expected --encoding direct and --timesteps 1.",
        ),
        ("train-backbone", "got distill_weight=0.5 and b.", "got --distill-weight 0.5 and b."),
        ("train-backbone", "Use flip=False.", "Use --no-flip."),
        ("record", "Expected a, got b: set image_size.", "Expected a, got b: pass --image-size."),
        ("record", "Choose another path, or set overwrite.", "Choose another path, or pass --overwrite."),
        ("record", "Set a seed; the overwrite of a file.", "Set a seed; the overwrite of a file."),
        ("record", "Expected pj_per_ac to be a number.", "Expected --energy-model.pj-per-ac to be a number."),
        ("classify", "Expected no root for 'digits'.", "Expected no --data-dir for 'digits'."),
        ("train", "Expected no root for 'digits'.", "Expected no root for 'digits'."),
        ("train", "Expected seed to be a number or None, got nan.", "Expected --seed to be a number, got nan."),
        (None, "Expected target_timesteps from 1.", "Expected target_timesteps from 1."),
        ("record", "image_size.st, a/image_size, 'image_size' and image_sizes", None),
    ],
)
def test_arguments_are_spelt_as_options_of_the_command(command, sentence, spelt):
    found = spelt_as_options(sentence, COMMANDS.get(command), COMMANDS.values(), [])
    assert found == (spelt or sentence)


def test_the_words_of_the_user_stay():
    typed = ["compare", "--policies", "seed=3", "--overwrite=true"]
    sentence = "Expected seed=3, got overwrite=true."
    command = COMMANDS["compare"]
    assert spelt_as_options(sentence, command, [command], typed) == "Expected seed=3, got --overwrite true."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("train", "--algorithm", "exact", "--output", "out", "--target-timesteps", 99),
            "--target-timesteps from 1 to",
        ),
        (("calibrate", "--policy", "margin", "--output", "out", "--target-timesteps", 99), "--target-timesteps from 1"),
        (
            ("calibrate", "--policy", "margin", "--output", "out", "--max-loss-points", 101),
            "Expected --max-loss-points between 0 and 100, got 101",
        ),
        (("headroom", "--folds", 1), "Expected --folds from 2 to"),
        (("headroom", "--targets", 9), "Expected --targets from 1 to T = 4, got 9."),
        (("headroom", "--targets"), "Expected --targets from 1 to T = 4, got none."),
        (("sweep", "--output", "out", "--targets", 9), "Expected --targets from 1 to T = 4, got 9"),
        (("watch", "--policy", "margin", "--fps", 0), "Expected --fps from 0.01 to 100, got 0."),
        (("watch", "--output", "a.gif", "--size", 1), "Expected --size, the height of frames, to be a multiple of 16"),
        (("watch", "--backbone", "digits"), "Expected either --traces or a --backbone to watch, got both"),
        (("compare", "--output", "out", "--policies", "ppo="), "Expected --policies as NAME=FILE, got 'ppo='"),
    ],
)
def test_a_number_out_of_range_is_refused_by_the_name_of_its_option(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    parts = [make_traces(20, split=split) for split in ("policy", "calibration", "test")]
    type(parts[0]).merge(*parts).save("traces")
    command, *options = arguments
    assert message in refused(capsys, command, "--traces", "traces", *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch-size", 0), "Expected --batch-size to be a whole number of 2 or more, got 0."),
        (
            ("--accumulate", 3),
            "Expected --accumulate to divide --batch-size into parts of at least 2 images, got 3 and",
        ),
        (("--distill-weight", 0.5), "exactly where --distill-weight is above 0, got --distill-weight 0.5 and no"),
        (("--stages", 9, 1, 0.1), "Expected --stages of at most the network's 2 timesteps, got 9."),
        (("--neuron", "relu"), "Expected --timesteps 1 and --encoding direct with the activation 'relu'"),
        (("--dataset", "mnist"), "Expected where the data of 'mnist' are: pass --data-dir."),
        (("--cache-dir", "x"), "Expected no --cache-dir for 'digits'"),
    ],
)
def test_settings_of_a_training_are_refused_by_the_names_of_their_options(options, message, tmp_path, capsys):
    line = ("train-backbone", "--output", tmp_path / "out", "--timesteps", 2, "--width", 2)
    assert message in refused(capsys, *line, *options)


def test_an_unknown_policy_is_answered_with_those_that_the_command_takes(capsys):
    message = refused(capsys, "classify", "--backbone", "digits", "--dataset", "digits", "--policy", "nope")
    assert "Known: confidence, entropy, gap, margin, patience, summed-confidence." in message
    assert "got none" in refused(capsys, "classify", "--backbone", "digits")
    assert "got both" in refused(capsys, "classify", "--backbone", "digits", "--dataset", "digits", "--inputs", "x")


def test_a_warning_names_the_option_too(tmp_path, capsys):
    make_traces(60, split="calibration").save(tmp_path / "traces")
    line = ("calibrate", "--traces", tmp_path / "traces", "--policy", "patience", "--output", tmp_path / "out")
    seenn(*line, "--target-timesteps", 1.4)
    assert capsys.readouterr().err.startswith("seenn: Expected a --target-timesteps that Patience can reach on 60 rows")
    shown = warnings.formatwarning("Expected a target_timesteps, got 1.", UserWarning, "file.py", 3)
    assert shown == "seenn: Expected a --target-timesteps, got 1.\n"
