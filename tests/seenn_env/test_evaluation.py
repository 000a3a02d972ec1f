"""Exact evaluation, rules and the oracle."""

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from agents import Confidence, Entropy, FixedTimestep, Margin, Oracle, PerTimestep, Uniform, load
from agents.comparison import Clusters
from agents.comparison.bootstrap import mean_interval
from backbones import InputError
from seenn_env import EarlyExitEnv, Traces, evaluate
from seenn_env.rewards import LinearReward
from tests.helpers.traces import make_traces

POLICIES = [
    FixedTimestep(1),
    FixedTimestep(3),
    FixedTimestep(4),
    Uniform(),
    Confidence(0.8),
    Entropy(0.3),
    Margin(0.6),
    PerTimestep(Margin(), (0.9, 0.5, 0.1)),
    PerTimestep(Entropy(), (0.1, 0.2, 0.5)),
]


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_evaluation_is_that_of_the_environment_row_by_row(policy, traces):
    part = traces[:60]
    reward = LinearReward(0.3)
    result = evaluate(policy, part, reward=reward)
    env = EarlyExitEnv(part, reward=reward)
    for row in range(0, 60, 7) if not isinstance(policy, Uniform) else []:
        observation, _ = env.reset(options={"samples": row})
        state, start, done = None, np.ones(1, bool), False
        while not done:
            action, state = policy.predict(observation[None], state, start)
            observation, paid, done, _, info = env.step(action[0])
            start = np.zeros(1, bool)
        assert info["timestep"] == result.exit_timesteps[row]
        assert info["prediction"] == result.predictions[row]
        assert info["correct"] == result.correct[row]
        assert paid == result.rewards[row]
    assert result.accuracy == result.correct.mean()
    assert result.mean_timesteps == result.exit_timesteps.mean()
    assert result.exit_counts.sum() == 60
    assert result.exit_counts @ np.arange(1, 5) == pytest.approx(60 * result.mean_timesteps)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_no_policy_beats_the_oracle(policy, packaged):
    for traces in (make_traces(seed=1), packaged.select("policy")):
        if isinstance(policy, PerTimestep) and traces.timesteps != 4:
            continue
        oracle = evaluate(Oracle(), traces)
        assert evaluate(policy, traces).accuracy <= oracle.accuracy
        assert oracle.accuracy == traces.correct.any(1).mean()


def test_the_oracle_exits_at_the_first_right_answer_and_at_1_where_there_is_none():
    right = np.array([[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1]])
    traces = Traces(logits=np.stack([right, 1 - right], -1).astype(np.float32), labels=[0] * 4, split="test")
    assert evaluate(Oracle(), traces).exit_timesteps.tolist() == [2, 1, 1, 3]


def test_fixed_timesteps_are_the_accuracy_of_the_backbone(traces):
    for t in range(1, 5):
        result = evaluate(FixedTimestep(t), traces)
        assert result.accuracy == traces.accuracy[t - 1]
        assert result.exit_counts.tolist() == [600 if s == t else 0 for s in range(1, 5)]


def test_uniform_exits_at_every_timestep_equally_often_and_the_same_way_again():
    traces = make_traces(8000)
    result = evaluate(Uniform(seed=1), traces)
    assert np.abs(result.exit_counts - 2000).max() < 4 * np.sqrt(8000 * 3 / 16)
    assert np.array_equal(evaluate(Uniform(seed=1), traces).exit_timesteps, result.exit_timesteps)
    assert not np.array_equal(evaluate(Uniform(seed=2), traces).exit_timesteps, result.exit_timesteps)


def test_thresholds_exit_on_their_own_column(traces):
    columns = traces.columns("features")[:, 0]
    assert Confidence(0.7).predict(columns)[0].tolist() == (columns[:, 0] >= 0.7).astype(int).tolist()
    assert Margin(0.4).predict(columns)[0].tolist() == (columns[:, 1] >= 0.4).astype(int).tolist()
    assert Entropy(0.4).predict(columns)[0].tolist() == (columns[:, 2] <= 0.4).astype(int).tolist()


def test_a_bare_sb3_model_is_a_policy_and_sb3s_own_evaluation_agrees(traces):
    env = EarlyExitEnv(traces[:80], reward="linear")
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, seed=0, device="cpu").learn(64)
    result = evaluate(model, traces[:80], observation="features", reward=env.reward)
    episode = iter(range(80))

    class InOrder(EarlyExitEnv):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=seed, options={"samples": next(episode, 0)})

    returns, lengths = evaluate_policy(
        model, Monitor(InOrder(traces[:80], reward="linear")), 80, return_episode_rewards=True
    )
    assert returns == pytest.approx(result.rewards, abs=1e-6)
    # An episode takes as many steps as timesteps seen; the last of T needs none of its own.
    assert [min(length, 3) for length in lengths] == np.minimum(result.exit_timesteps, 3).tolist()


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (lambda n: np.full(n, 2), r"actions \[600\] of 0 \(continue\) or 1 \(exit\)"),
        (lambda n: np.zeros((n, 1)), r"actions \[600\]"),
    ],
)
def test_a_policy_with_bad_actions_is_refused(traces, policy, message):
    class Bad:
        def predict(self, observation, state=None, episode_start=None, deterministic=True):
            return policy(len(observation)), None

    with pytest.raises(InputError, match=message):
        evaluate(Bad(), traces)


def test_bad_settings_of_rules_are_one_sentence():
    for threshold in (-0.1, 1.5, float("nan")):
        for rule in (Confidence, Entropy, Margin):
            with pytest.raises(InputError, match=rf"threshold (in \[0, 1\]|to be a number), got {threshold}"):
                rule(threshold)
    with pytest.raises(InputError, match="timestep to be a whole number of 1 or more, got 0"):
        FixedTimestep(0)
    with pytest.raises(InputError, match="calibrate it first"):
        PerTimestep(Margin()).predict(np.zeros((1, 6)))


def test_a_policy_made_for_another_number_of_timesteps_is_refused(packaged):
    test = packaged.select("test")
    for policy in (load("cifar10-jpeg/exact"), PerTimestep(Margin(), thresholds=(0.9,))):
        with pytest.raises(InputError, match=r"the network's 8 timesteps, got one that was made for [24]"):
            evaluate(policy, test)
    with pytest.raises(InputError, match=r"8 timesteps, got FixedTimestep\(timestep=9\), which needs 9"):
        evaluate(FixedTimestep(9), test)


PREDICT = r"Expected predict\(observation, state=None, .* to return actions \[600\] and the next state, but: "


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"predict": lambda self, observation: (np.ones(600), None)}, PREDICT + ".*unexpected keyword"),
        ({"predict": lambda self, observation, **memory: np.ones(600, int)}, PREDICT + "too many values"),
        ({"predict": lambda self, observation, **memory: None}, PREDICT + "cannot unpack"),
        ({"predict": lambda self, observation, **memory: ("exit", None)}, r"actions \[600\] of 0 .*, got 'exit'"),
        ({"predict": lambda self, observation, **memory: (np.full(600, 0.5), None)}, r"of 0 .* got float64 \[600\]"),
        ({"exit_timesteps": lambda self: np.ones(600, int)}, r"Expected exit_timesteps\(traces\) of .*, but"),
        ({"exit_timesteps": lambda self, traces: np.full(600, 1.5)}, r"\[600\] of whole numbers in 1…4"),
    ],
)
def test_a_policy_of_other_arguments_or_results_is_refused_in_one_sentence(traces, method, message):
    with pytest.raises(InputError, match=message):
        evaluate(type("Own", (), method)(), traces)


def test_a_name_or_a_list_given_as_a_policy_is_called_so(traces):
    with pytest.raises(InputError, match="got 'margin': load the policy of that name"):
        evaluate("margin", traces)
    with pytest.raises(InputError, match=r"got \[Margin.*: pass one policy at a time"):
        evaluate([Margin()], traces)


def test_the_interval_of_an_accuracy_is_over_samples_and_as_wide_as_that_of_the_bootstrap():
    traces = make_traces(400, T=4)
    once = evaluate(Margin(), traces).accuracy_interval
    thrice = evaluate(Margin(), Traces.merge(*[_repeated(traces, repeat) for repeat in range(3)])).accuracy_interval
    assert thrice == pytest.approx(once, abs=1e-9)  # equal repeats say nothing new
    result = evaluate(Margin(), traces)
    bootstrapped = mean_interval(result.correct, Clusters(traces.sample))
    assert once == pytest.approx((bootstrapped.low, bootstrapped.high), abs=0.01)
    low, high = evaluate(Oracle(), traces[traces.correct.any(1)]).accuracy_interval
    assert 0.98 < low < high == pytest.approx(1)


def _repeated(traces, repeat):
    rows = np.full(len(traces), repeat)
    return Traces(
        logits=traces.logits,
        labels=traces.labels,
        split=traces.split,
        sample=traces.sample,
        repeat=rows,
        info=traces.info,
    )
