"""A policy that was trained for one backbone is refused by another, wherever the two meet."""

import pytest

import agents
import backbones as bb
from agents.main import main
from agents.rules import check_trained_for
from seenn_env import Traces, record


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
