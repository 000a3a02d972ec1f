"""`seenn calibrate`: mean timesteps, a loss of accuracy, a guaranteed loss, and the figures printed."""

import json

import numpy as np
import pytest

import agents
from agents.calibration.guarantees import control_risk, least_samples
from seenn_env import Traces, evaluate
from tests.helpers.commands import refused, seenn
from tests.helpers.traces import make_traces

CIFAR = "cifar10-jpeg"


@pytest.fixture(scope="module")
def calibration():
    return Traces.load(CIFAR, split="calibration")


def calibrated(capsys, tmp_path, *options):
    """The object that `--json` prints, and the policy of the file."""
    file = tmp_path / "policy.safetensors"
    seenn("calibrate", "--traces", CIFAR, *options, "--output", file, "--json")
    return json.loads(capsys.readouterr().out), agents.load(file)


@pytest.mark.parametrize("policy", ["confidence", "per-timestep-margin", f"{CIFAR}/ppo"])
def test_mean_timesteps_are_met_on_calibration(policy, tmp_path, capsys, calibration):
    shown, found = calibrated(capsys, tmp_path, "--policy", policy, "--target-timesteps", 1.3)
    result = evaluate(found, calibration)
    assert result.mean_timesteps == pytest.approx(1.3, abs=0.002)
    mean = shown["results"]["calibration"]["mean_timesteps"]
    accuracy = shown["results"]["calibration"]["accuracy"]
    assert mean["estimate"] == pytest.approx(result.mean_timesteps)
    assert accuracy["estimate"] == pytest.approx(result.accuracy)
    error = 1.96 * result.correct.std() / np.sqrt(5000)
    assert accuracy["low"] == pytest.approx(result.accuracy - error, abs=0.001)
    assert accuracy["high"] == pytest.approx(result.accuracy + error, abs=0.001)
    assert mean["low"] < mean["estimate"] < mean["high"]


def test_a_loss_in_points_is_the_cheapest_that_keeps_it_on_calibration(tmp_path, capsys, calibration):
    shown, found = calibrated(capsys, tmp_path, "--policy", "margin", "--max-loss-points", 0.5)
    result, full = evaluate(found, calibration), calibration.accuracy[-1]
    assert full - result.accuracy <= 0.005 + 1e-9
    cheaper = agents.calibrate(agents.Margin(), calibration, target_timesteps=result.mean_timesteps - 0.01)
    assert full - evaluate(cheaper, calibration).accuracy > 0.005 + 1e-9
    assert shown["guarantee"] is None
    assert shown["results"]["calibration"]["accuracy_of_all"] == pytest.approx(full)


def test_a_confidence_makes_the_loss_a_guarantee_with_levels_from_policy_rows(tmp_path, capsys, calibration):
    options = ["--policy", "margin", "--max-loss-points", 1, "--confidence", 0.9, "--test", CIFAR]
    shown, found = calibrated(capsys, tmp_path, *options)
    levels = Traces.load(CIFAR, split="policy")
    guarantee = control_risk(agents.Margin(), calibration, max_risk=0.01, confidence=0.9, levels_from=levels)
    assert found == guarantee.policy
    assert shown["guarantee"] == str(guarantee)
    assert "With 90 % confidence" in shown["guarantee"]
    test = Traces.load(CIFAR, split="test")
    assert shown["results"]["test"]["accuracy"]["estimate"] == pytest.approx(evaluate(found, test).accuracy)
    assert shown["results"]["test"]["samples"] == 10000


def test_too_few_samples_for_a_guarantee_are_said_with_the_number_needed(tmp_path, capsys):
    output = tmp_path / "policy.safetensors"
    options = ["--policy", "margin", "--confidence", 0.95, "--output", output]
    message = refused(capsys, "calibrate", "--traces", CIFAR, *options, "--max-loss-points", 0.05)
    assert "at least 5990 samples of split 'calibration' for a loss of 0.05 points with 95 % confidence" in message
    assert "got 5000" in message
    assert not output.exists()
    assert (1 - 0.0005) ** 5990 <= 0.05 < (1 - 0.0005) ** 5989
    assert least_samples(0.5, 0.5) == 1


def test_samples_that_allow_no_early_exit_give_all_timesteps(tmp_path, capsys):
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=600)
    logits = rng.normal(size=(600, 2, 4)).astype(np.float32)
    logits[np.arange(600), 1, labels] += 9  # right at the second timestep alone
    file, output = tmp_path / "traces.safetensors", tmp_path / "policy.safetensors"
    Traces(logits=logits, labels=labels, split="calibration").save(file)
    options = ["--policy", "margin", "--max-loss-points", 1, "--confidence", 0.95, "--output", output]
    seenn("calibrate", "--traces", file, *options)
    assert "480 samples allow no early exit, so all timesteps are run." in capsys.readouterr().out
    assert agents.load(output) == agents.FixedTimestep(2)


def test_the_text_has_both_splits_and_info_has_the_target(tmp_path, capsys):
    output = tmp_path / "policy.safetensors"
    options = ["--traces", CIFAR, "--test", CIFAR, "--policy", "entropy", "--target-timesteps", 1.5]
    seenn("calibrate", *options, "--output", output)
    lines = capsys.readouterr().out.splitlines()
    result = evaluate(agents.load(output), Traces.load(CIFAR, split="test"))
    assert lines[0].startswith("on calibration: accuracy ")
    assert lines[1].startswith(f"on test: accuracy {100 * result.accuracy:.2f} % [")
    assert f" at {result.mean_timesteps:.3f} [" in lines[1]
    assert lines[2] == f"policy: {output}"
    seenn("info", output, "--json")
    (facts,) = json.loads(capsys.readouterr().out)["files"]
    assert (facts["target_timesteps"], facts["dataset"]) == (1.5, CIFAR)
    assert facts["calibration"]["mean_timesteps"]["estimate"] == pytest.approx(1.5, abs=0.002)


def test_bad_options_are_one_sentence_before_the_work(tmp_path, capsys):
    file, output = tmp_path / "traces.safetensors", tmp_path / "out.safetensors"
    make_traces(split="policy").save(file)
    agents.save(agents.Oracle(), tmp_path / "oracle.safetensors")
    margin, target = ("--policy", "margin"), ("--target-timesteps", "1.3")
    cases = (
        (CIFAR, margin, "either --target-timesteps or --max-loss-points, got none"),
        (CIFAR, (*margin, *target, "--max-loss-points", "1"), "got both"),
        (CIFAR, (*margin, *target, "--confidence", "0.9"), "no --confidence without --max-loss-points"),
        (CIFAR, (*margin, "--max-loss-points", "0"), "between 0 and 100, got 0"),
        (CIFAR, (*margin, "--max-loss-points", "90"), "below the accuracy of all timesteps, 86.12 %, got 90"),
        (CIFAR, (*margin, "--max-loss-points", "1", "--confidence", "95"), "a confidence between 0 and 1, got 95"),
        (CIFAR, (*margin, "--target-timesteps", "5"), "from 1 to T = 4, got 5"),
        (CIFAR, ("--policy", "marginn", *target), "Did you mean 'margin'?"),
        (CIFAR, ("--policy", tmp_path / "none.safetensors", *target), "found nothing at"),
        (CIFAR, ("--policy", tmp_path / "oracle.safetensors", *target), "with a threshold to calibrate, got Oracle"),
        (CIFAR, ("--policy", "digits/ppo", *target), "4 timesteps, got one that was made for 8"),
        (CIFAR, (*margin, *target, "--test", "digits"), "traces of the backbone"),
        (CIFAR, (*margin, *target, "--test", file), "rows of split 'test'"),
        (file, (*margin, *target), "rows of split 'calibration'"),
    )
    for traces, options, message in cases:
        assert message in refused(capsys, "calibrate", "--traces", traces, *options, "--output", output), options
    assert not output.exists()


def test_a_target_that_is_not_reached_is_named_in_the_answer(tmp_path, capsys):
    file, output = tmp_path / "traces.safetensors", tmp_path / "patience.safetensors"
    make_traces(300, split="calibration").save(file)
    options = ["--traces", file, "--policy", "patience", "--target-timesteps", 1.4, "--output", output]
    seenn("calibrate", *options)
    answer = capsys.readouterr().err
    assert "got 1.4 (rows with equal scores exit together): the nearest, " in answer
    seenn("calibrate", *options, "--overwrite", "--json")
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert answer == f"seenn: {warning}\n"
