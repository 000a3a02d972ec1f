"""Each rule exits by its definition, is fitted, saved and calibrated."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from agents import Confidence, Entropy, FixedTimestep, Margin, Patience, PerTimestep, Uniform, calibrate, load, save
from agents.calibration import Mixed
from agents.policies import POLICIES, RULES
from agents.rules import ConformalSets, Gap, ScaledConfidence, ScoredPolicy, SummedConfidence
from backbones import InputError
from seenn_env import Traces, evaluate
from seenn_env.observations.columns import softmax
from tests.helpers.traces import make_traces


def answering(*answers: int, K: int = 3) -> Traces:
    """One row that gives these answers, one a timestep."""
    logits = 3 * np.eye(K, dtype=np.float32)[list(answers)][None]
    return Traces(logits=logits, labels=[answers[-1]], split="calibration")


def exits(policy, traces):
    return evaluate(policy, traces).exit_timesteps.tolist()


@pytest.mark.parametrize(("patience", "timestep"), [(1, 1), (2, 3), (3, 6), (4, 6)], ids=lambda value: str(value))
def test_patience_waits_for_the_same_answer_so_many_times_in_a_row(patience, timestep):
    assert exits(Patience(patience), answering(0, 1, 1, 0, 0, 0)) == [timestep]


def test_patience_starts_afresh_in_every_episode():
    rule, columns = Patience(2), answering(0, 0, 0).columns("features")[0]
    actions, state = rule.predict(columns[:1], episode_start=np.array([True]))
    for starts, action in [(False, 1), (True, 0), (False, 1)]:
        actions, state = rule.predict(columns[1:2], state, np.array([starts]))
        assert actions.tolist() == [action]


def test_gap_is_the_difference_of_the_two_largest_logits():
    logits = np.array([[[5, 4, 0], [6, 3, 0], [9, 2, 0]]], np.float32)
    traces = Traces(logits=logits, labels=[0], split="policy")
    for threshold, timestep in [(1.0, 1), (1.1, 2), (3.0, 2), (3.5, 3)]:
        assert exits(Gap(threshold), traces) == [timestep]


def test_summed_confidence_is_the_softmax_of_the_sum_over_time(traces):
    T = traces.timesteps
    outputs = np.diff(traces.logits * np.arange(1, T + 1)[:, None], axis=1, prepend=0)
    summed = softmax(outputs.cumsum(1).astype(float)).max(-1)
    assert SummedConfidence().trace_scores(traces) == pytest.approx(summed[:, :-1], abs=1e-4)


def test_temperatures_are_found_where_they_are_known():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(20_000, 2, 5))
    labels = np.array([rng.choice(5, p=p) for p in softmax(true[:, 1])])
    logits = (true[:, [1, 1]] * np.array([4.0, 0.5])[:, None]).astype(np.float32)
    traces = Traces(logits=logits, labels=labels, split="calibration")
    each = ScaledConfidence().fit(traces)
    assert each.temperatures == pytest.approx((4.0, 0.5), rel=0.05)
    assert each.trace_scores(traces)[:, 0] == pytest.approx(
        softmax(true[:, 1] * 4 / each.temperatures[0]).max(-1), abs=1e-3
    )
    assert ScaledConfidence(temperatures=(1.0, 1.0)).trace_scores(traces) == pytest.approx(
        Confidence().trace_scores(traces), abs=1e-5
    )


def test_conformal_sets_hold_the_label_as_often_as_they_promise():
    calibration, test = (make_traces(4000, split="calibration", seed=seed) for seed in (1, 2))
    rule = ConformalSets(miscoverage=0.1).fit(calibration)
    p = softmax(test.columns("logits")[..., :-1].astype(float))
    held = np.ones(len(test), bool)
    for t in range(test.timesteps):
        own = 1 - p[np.arange(len(test)), t, test.labels]
        held &= rule.p_values(test.columns("logits")[:, t], own) > rule.miscoverage / test.timesteps
    assert held.mean() >= 0.89  # Bonferroni: at least 90 %, less the chance of 4,000 rows


@pytest.mark.parametrize("size", [1, 2])
def test_conformal_sets_exit_when_the_set_is_small_enough(size):
    traces = make_traces(500, split="calibration")
    rule = ConformalSets(miscoverage=0.4, size=size).fit(traces)
    p = softmax(traces.columns("logits")[:, 0, :-1].astype(float))
    sizes = np.zeros(len(p), int)
    for k in range(p.shape[1]):
        sizes += rule.p_values(traces.columns("logits")[:, 0], 1 - p[:, k]) > 0.4 / traces.timesteps
    assert np.array_equal(evaluate(rule, traces).exit_timesteps == 1, sizes <= size)
    assert 0.05 < (sizes <= size).mean() < 1


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_calibrated_saved_and_does_the_same_again(name, tmp_path):
    traces = make_traces(1500, split="calibration")
    rule = calibrate(RULES[name], traces, target_timesteps=1.7)
    found = evaluate(rule, traces)
    if "patience" not in name:
        assert found.mean_timesteps == pytest.approx(1.7, abs=0.01)
    again = load(save(rule, tmp_path / "rule.safetensors"))
    assert again == rule
    assert np.array_equal(evaluate(again, traces).exit_timesteps, found.exit_timesteps)


@pytest.mark.parametrize("rule", [Patience(), ScaledConfidence(), PerTimestep(Patience()), Margin()], ids=repr)
@pytest.mark.parametrize("target", [1.2, 1.9, 2.6])
def test_with_chance_every_rule_meets_every_target_however_its_scores_tie(rule, target, tmp_path):
    traces = make_traces(6000, split="calibration")
    mixed = calibrate(rule, traces, target_timesteps=target, randomise=True, seed=3)
    assert isinstance(mixed, Mixed)
    found = evaluate(mixed, traces)
    assert found.mean_timesteps == pytest.approx(target, abs=0.03)
    assert np.array_equal(evaluate(mixed, traces).exit_timesteps, found.exit_timesteps)
    again = load(save(mixed, tmp_path / "mixed.safetensors"))
    assert np.array_equal(evaluate(again, traces).exit_timesteps, found.exit_timesteps)
    assert calibrate(mixed, traces, target_timesteps=target) == calibrate(rule, traces, target_timesteps=target)


def test_rules_refuse_traces_that_they_cannot_use(tmp_path):
    test = make_traces(50, split="test")
    for rule in (ScaledConfidence(), ConformalSets()):
        with pytest.raises(InputError, match="nothing is chosen on test"):
            rule.fit(test)
        with pytest.raises(InputError, match="fit or calibrate"):
            evaluate(rule, test)
    for make, message in [
        (lambda: Gap(41.0), r"threshold in \[0, 40\], got 41"),
        (lambda: ScaledConfidence(temperatures=(0.0,)), "temperatures to be a sequence"),
        (lambda: ConformalSets(size=0), "size to be a whole number of 1 or more, got 0"),
        (lambda: Entropy(1.5), r"threshold in \[0, 1\], got 1.5"),
    ]:
        with pytest.raises(InputError, match=message):
            make()


def test_a_new_rule_is_one_class_and_one_line_in_the_table(monkeypatch, tmp_path, traces):
    @dataclass(frozen=True)
    class Hesitant(ScoredPolicy):
        threshold: float = 1.0
        weights: np.ndarray = field(default_factory=lambda: np.arange(6.0), compare=False)
        observation = "features"
        sign = -1

        def score(self, observation):
            return -(observation @ self.weights)

    found = [calibrate(rule, traces, target_timesteps=1.7) for rule in (Hesitant(), PerTimestep(Hesitant()))]
    found.append(calibrate(Hesitant(), traces, target_timesteps=1.7, randomise=True))
    with pytest.raises(InputError, match="a policy of this package to save, got Hesitant"):
        save(found[0], tmp_path / "policy.safetensors")
    monkeypatch.setitem(POLICIES, "Hesitant", Hesitant)
    for rule in found:
        again = load(save(rule, tmp_path / "policy.safetensors"))
        assert repr(again) == repr(rule)
        assert np.array_equal(evaluate(again, traces).exit_timesteps, evaluate(rule, traces).exit_timesteps)


def test_a_rule_without_a_score_or_with_a_column_that_its_observation_lacks_is_refused_at_once():
    with pytest.raises(InputError, match=r"a score of Nothing, or a column .*, got the column None of 'features'"):
        type("Nothing", (ScoredPolicy,), {"threshold": 0.5, "observation": "features"})
    for column, observation in (("gap", "features"), ("confidence", "logits"), ("certainty", "rich")):
        with pytest.raises(InputError, match=f"got the column '{column}' of '{observation}'"):
            type("Wrong", (ScoredPolicy,), {"threshold": 0.5, "column": column, "observation": observation})
    with pytest.raises(InputError, match="a field threshold of Boundless"):
        type("Boundless", (ScoredPolicy,), {"column": "margin", "observation": "features"})
    type("Right", (ScoredPolicy,), {"threshold": 0.5, "column": "gap", "observation": "rich+hidden"})


@pytest.mark.parametrize("policy", [Margin(), Patience(), FixedTimestep(2), Uniform()], ids=repr)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"observation": np.zeros(6, np.float32)}, r"observation \[B, F\] of 'features'.*got float32 \[6\]"),
        ({"observation": np.full((2, 6), np.nan)}, "of finite numbers"),
        ({"observation": np.full((2, 6), "a")}, "of finite numbers"),
        ({"episode_start": np.ones(3, bool)}, r"episode_start \[2\] of booleans, got bool \[3\]"),
        ({"deterministic": None}, "deterministic to be True or False, got None"),
    ],
)
def test_predict_refuses_arguments_that_do_not_fit(policy, arguments, message):
    with pytest.raises(InputError, match=message):
        policy.predict(**{"observation": np.full((2, 6), 0.5, np.float32), **arguments})


def test_the_state_of_other_rows_is_refused():
    policy, columns = FixedTimestep(2), np.full((3, 6), 0.5, np.float32)
    _, state = policy.predict(columns)
    with pytest.raises(InputError, match="state of 2 rows, got one of 3"):
        policy.predict(columns[:2], state)


@pytest.mark.parametrize(
    ("score", "problem"),
    [
        (lambda self: 1.0, "takes 1 positional argument"),
        (
            lambda self, observation: np.full(len(observation), "a"),
            r"\[60\] numbers as the scores of Own, got <U1 \[60\]",
        ),
        (lambda self, observation: None, "as the scores of Own, got None"),
        (lambda self, observation: 0.5, "as the scores of Own, got 0.5"),
        (lambda self, observation: observation, r"as the scores of Own, got float32 \[60, 6\]"),
        (lambda self, observation: np.log(observation[:, 0] - 2), "as the scores of Own, got NaN"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_scores_of_ones_own_that_are_no_numbers_are_refused_alike_everywhere(score, problem):
    Own = dataclass(frozen=True)(
        type(
            "Own",
            (ScoredPolicy,),
            {"__annotations__": {"threshold": float}, "threshold": 0.5, "score": score, "observation": "features"},
        )
    )
    traces = make_traces(60, split="calibration")
    for use in (
        lambda: evaluate(Own(), traces),
        lambda: calibrate(Own(), traces, target_timesteps=2),
        lambda: calibrate(Own(), traces, target_timesteps=2, randomise=True),
        lambda: calibrate(PerTimestep(Own()), traces, target_timesteps=2),
    ):
        with pytest.raises(InputError, match=problem):
            use()
