"""Arguments are never changed, and copies share no settings, generators, arrays or models."""

import copy

import numpy as np
import pytest
import torch

import agents
import backbones as bb
from agents.calibration import Mixed
from agents.deployment.classification import on_device
from agents.learners import LearnedPolicy, TabularStopping
from agents.learners.sb3.training import make_model
from backbones.energy import Metered
from seenn_env import Traces, evaluate
from tests.helpers.recorded import full_traces, small_backbone
from tests.helpers.traces import make_traces

POLICIES = ["ppo", "dqn", "exact", "one-shot", "optimal-stopping", "tabular"]


@pytest.fixture(scope="module", params=POLICIES)
def trained(request):
    """A policy, and traces that it decides on."""
    traces = full_traces()
    if request.param == "tabular":
        return TabularStopping.fit(traces, bins=3), traces
    short = {"ppo": {"num_envs": 8, "n_steps": 8, "batch_size": 64}, "dqn": {"num_envs": 8, "learning_starts": 64}}
    settings = short.get(request.param, {"epochs": 1} if request.param == "one-shot" else {})
    settings |= {"total_timesteps": 128} if request.param in short else {}
    return agents.train(request.param, traces, **settings), traces


def test_calibrated_copies_have_settings_of_their_own(trained):
    policy, traces = trained
    one, other = (agents.calibrate(policy, traces, target_timesteps=t) for t in (1.5, 2.5))
    before = copy.deepcopy(policy.settings)
    one.settings["note"] = "mine"
    for value in one.settings.values():
        if isinstance(value, dict):
            value["note"] = "mine too"
    assert policy.settings == other.settings == before


@pytest.mark.parametrize("trained", ["ppo", "exact"], indirect=True)
def test_drawing_actions_does_not_move_torchs_generator_and_a_run_is_the_same_again(trained):
    policy, traces = trained
    state = torch.get_rng_state()
    many = np.repeat(traces.columns(policy.observation)[:1, 0], 4000, axis=0)
    starts = np.ones(len(many), bool)
    first, after = policy.predict(many, episode_start=starts, deterministic=False)
    again, _ = policy.predict(many, episode_start=starts, deterministic=False)
    later, _ = policy.predict(many, after, np.zeros(len(many), bool), deterministic=False)
    once_more, _ = policy.predict(many, after, np.zeros(len(many), bool), deterministic=False)
    assert np.array_equal(first, again)
    assert np.array_equal(later, once_more)
    assert torch.equal(torch.get_rng_state(), state)
    alone = [policy.predict(many, deterministic=False)[0] for _ in range(2)]
    if len(np.unique(first)) > 1:
        assert not np.array_equal(first, later)
        assert not np.array_equal(*alone)
    assert first.mean() == pytest.approx(policy.score(many[:1])[0], abs=0.04)


@pytest.mark.parametrize("policy", [agents.Uniform(3), Mixed(agents.Margin(0.2), 0.9, 0.5)], ids=["uniform", "mixed"])
def test_a_state_that_was_given_stays_as_it_was(policy, traces):
    columns, starts = traces.columns("features")[:, 0], np.ones(len(traces), bool)
    _, state = policy.predict(columns, None, starts)
    results = [policy.predict(columns, state, starts)[0] for _ in range(3)]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize("make", [full_traces, lambda: Traces.load("digits")])
def test_arrays_of_traces_cannot_be_written_to(make):
    traces = make()
    given = [value for value in vars(traces).values() if isinstance(value, np.ndarray)]
    made = [traces.columns("features"), traces.predictions, traces.correct, traces.image_places]
    part = traces[np.arange(5)]
    for array in [*given, *made, part.labels, part.split_codes]:
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[:1] = 0
    part.info["note"] = "mine"
    assert "note" not in traces.info


def test_the_arrays_that_were_given_stay_the_callers():
    logits, labels = np.zeros((3, 2, 4), np.float32), np.zeros(3, np.int64)
    traces = Traces(logits=logits, labels=labels, split="test")
    logits[0] = labels[0] = 1
    assert traces.logits.base is logits
    with pytest.raises(ValueError, match="read-only"):
        traces.logits[0] = 0


def test_a_policy_that_writes_into_its_observation_changes_only_a_copy(traces):
    class Writer(agents.Margin):
        def predict(self, observation, *args, **kwargs):
            found = super().predict(observation, *args, **kwargs)
            observation[:] = 0
            return found

    assert np.array_equal(*(evaluate(kind(0.5), traces).exit_timesteps for kind in (Writer, agents.Margin)))


def test_a_model_stays_as_it_was_when_its_policy_is_taken():
    model = make_model("ppo", make_traces(50), num_envs=4, n_steps=4, batch_size=16)
    model.policy.train()
    policy = LearnedPolicy.of(model, observation="features")
    assert model.policy.training
    assert not policy.network.training
    before = policy.score(np.full((1, 6), 0.5, np.float32))
    with torch.no_grad():
        model.policy.action_net.bias[0] += 5
    assert policy.score(np.full((1, 6), 0.5, np.float32)) == before


def test_a_backbone_stays_where_it_is_when_it_runs_elsewhere(monkeypatch):
    monkeypatch.setattr("agents.deployment.classification.named_device", torch.device)  # which refuses "meta"
    backbone = small_backbone()
    assert on_device(backbone, None) is on_device(backbone, "cpu") is backbone
    moved = on_device(backbone, "meta")
    assert moved.device.type == "meta"
    assert backbone.device.type == "cpu"
    with pytest.raises(bb.InputError, match="Expected a backbone on meta, or one that can be moved there"):
        on_device(Metered(backbone), "meta")
