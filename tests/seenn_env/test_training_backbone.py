"""A policy that was trained for one backbone is refused by another, or named as transferred, wherever the two meet."""

import warnings

import pytest

import agents
import backbones as bb
from agents.main import main
from seenn_env import Traces, evaluate, record, stream
from seenn_env.evaluation import check_trained_for
from seenn_env.streaming import ArrayFeed


@pytest.fixture(scope="module")
def network() -> bb.Backbone:
    return bb.load("digits")


@pytest.fixture(scope="module")
def other() -> bb.Backbone:
    settings = {"num_classes": 10, "timesteps": 8, "input_shape": (1, 8, 8), "encoding": "poisson", "width": 4}
    return bb.build("small", **settings)


@pytest.fixture(scope="module")
def trained():
    return agents.load("digits/exact")


def test_a_policy_meets_its_own_backbone_in_any_form_and_the_traces_of_it(network, trained):
    for own in (network, network.optimize(), Traces.load("digits")):
        check_trained_for(trained, own)


def test_without_a_fingerprint_on_both_sides_nothing_is_refused(other, trained, digits):
    check_trained_for(agents.Margin(), other)
    traces = record(other, digits.test.select(slice(8)))
    check_trained_for(trained, Traces(logits=traces.logits, labels=traces.labels, split="test"))


@pytest.mark.parametrize("wrap", [lambda policy: policy, agents.PerTimestep])
def test_another_backbone_is_refused_by_classify_compare_and_export(network, other, trained, digits, tmp_path, wrap):
    samples, policy = digits.test.select(slice(8)), wrap(trained)
    refusal = f"policy for the backbone {other.fingerprint}, got one that was trained for {network.fingerprint}"
    for use in (
        lambda: agents.classify(samples, other, policy, num_slots=4),
        lambda: agents.classify(samples, other.optimize(), policy, num_slots=4),
        lambda: agents.compare({"policy": policy}, record(other, samples)),
        lambda: agents.export(other, policy, tmp_path / "out", num_slots=2),
    ):
        with pytest.raises(bb.InputError, match=refusal):
            use()
    assert not (tmp_path / "out").exists()


def test_evaluate_stream_and_calibrate_warn_once_that_a_policy_is_transferred(network, other, trained, digits):
    samples = digits.calibration.select(slice(8))
    own, foreign = record(network, samples), record(other, samples)

    class Own:
        observation, trained_for = "features", network.fingerprint
        predict = trained.predict

    def streamed(policy, backbone):
        list(stream(bb.SlotPool(backbone, 4), ArrayFeed(samples.images), policy))

    for use in (
        lambda traces, backbone: [evaluate(trained, traces) for _ in range(3)],
        lambda traces, backbone: evaluate(Own(), traces),
        lambda traces, backbone: agents.calibrate(trained, traces, target_timesteps=2.0),
        lambda traces, backbone: streamed(trained, backbone),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            use(own, network)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            use(foreign, other)
        (warning,) = [each for each in caught if "trained for" in str(each.message)]
        assert f"got one that was trained for {network.fingerprint}: the result is" in str(warning.message)


def test_the_commands_refuse_another_backbone(other, tmp_path, capsys):
    file = tmp_path / "other.safetensors"
    bb.save(other, file)
    for command in (
        ["classify", "--backbone", str(file), "--output", str(tmp_path / "out.csv")],
        ["watch", "--backbone", str(file)],
    ):
        with pytest.raises(SystemExit) as stop:
            main([*command, "--dataset", "digits", "--policy", "digits/exact"])
        assert stop.value.code == 2
        assert f"policy for the backbone {other.fingerprint}, got one" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()
