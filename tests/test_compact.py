"""Compact traces say the same as full ones, bit for bit, and refuse by name what they cannot say."""

import numpy as np
import pytest
import torch
from conftest import make_traces
from recorded import full_traces

from agents import Confidence, Oracle, calibrate, compare
from backbones import InputError
from seenn_env import (
    ChooseTimestepEnv,
    CompactTraces,
    EarlyExitEnv,
    EarlyExitVectorEnv,
    Traces,
    evaluate,
    make_reward,
    reference_scores,
)

FACTS = ("labels", "sample", "repeat", "split_codes", "split", "predictions", "correct", "accuracy", "first_correct")
FIGURES = ("aet", "empirical_aet", "oct", "timesteps", "num_classes")


@pytest.fixture(params=["float32", "float16"])
def pair(request, tmp_path):
    """Full traces, and compact ones that went through a file."""
    made = make_traces(300, K=20)
    full = Traces(logits=made.logits.astype(request.param), labels=made.labels, split="policy", info={"dataset": "a"})
    full.compact(3).save(tmp_path / "compact.safetensors")
    return full, Traces.load(tmp_path / "compact.safetensors")


def test_whatever_needs_no_logits_is_the_same(pair):
    full, compact = pair
    assert isinstance(compact, CompactTraces)
    for name in (*FACTS, *FIGURES):
        assert np.array_equal(getattr(compact, name), getattr(full, name)), name
    assert compact.info == full.info
    assert compact.summary() == full.summary()
    assert len(compact) == 300
    assert repr(compact).startswith("CompactTraces(N=300, T=4, K=20")


def test_features_are_the_full_ones_bit_for_bit(pair):
    full, compact = pair
    assert np.array_equal(compact.columns("features"), full.columns("features"))
    assert compact.columns("features").dtype == np.float32
    assert compact.observation("features").names == full.observation("features").names
    assert np.array_equal(
        compact.columns(compact.observation("features")), full.columns("features")
    )  # by the object too


def test_the_largest_logits_come_in_order_with_their_classes_and_log_sum_exp(pair):
    full, compact = pair
    order = np.argsort(-full.logits, axis=-1, kind="stable")[..., :3]
    assert np.array_equal(compact.top_classes, order)
    assert np.array_equal(compact.top_logits, np.take_along_axis(full.logits, order, -1))
    assert compact.top_logits.dtype == full.logits.dtype
    want = torch.from_numpy(full.logits.astype(np.float64)).logsumexp(-1).numpy()
    np.testing.assert_allclose(compact.log_sum_exp, want, rtol=1e-6)
    top = np.exp(compact.top_logits[..., 0] - compact.log_sum_exp)
    np.testing.assert_allclose(top, compact.columns("features")[..., 0], rtol=2e-3)


def test_of_equal_logits_the_lower_class_comes_first():
    logits = np.zeros((2, 3, 4), np.float16)
    logits[1, :, 2:] = 1
    compact = Traces(logits=logits, labels=[0, 2], split="test").compact(3)
    assert compact.top_classes[:, 0].tolist() == [[0, 1, 2], [2, 3, 0]]
    assert compact.accuracy.tolist() == [1, 1, 1]


def test_environments_step_the_same(pair):
    rng = np.random.default_rng(0)
    for make in (lambda traces: EarlyExitVectorEnv(8, traces), EarlyExitEnv):
        one, two = (make(traces) for traces in pair)
        assert one.observation_space == two.observation_space
        assert np.array_equal(one.reset(seed=1)[0], two.reset(seed=1)[0])
        for _ in range(40):
            action = rng.integers(2, size=8) if isinstance(one, EarlyExitVectorEnv) else int(rng.integers(2))
            a, b = one.step(action), two.step(action)
            for x, y in zip(a[:4], b[:4], strict=True):
                assert np.array_equal(x, y)
            if a[2] is True:
                assert a[4] == b[4]
                one.reset(), two.reset()


def test_evaluation_calibration_comparison_and_references_are_the_same(pair):
    full, compact = pair
    rules = [calibrate(Confidence(), traces, target_timesteps=2) for traces in pair]
    assert rules[0] == rules[1]
    for policy in (rules[0], Oracle()):
        a, b = (evaluate(policy, traces) for traces in pair)
        assert np.array_equal(a.exit_timesteps, b.exit_timesteps)
        assert np.array_equal(a.predictions, b.predictions)
    tables = [compare({"confidence": rules[0], "oracle": Oracle()}, traces).table() for traces in pair]
    assert tables[0] == tables[1]
    assert reference_scores(full, make_reward("seenn")) == reference_scores(compact, make_reward("seenn"))


def test_rows_selections_and_merges_keep_rows_together():
    one, two = (make_traces(30, split=split, seed=seed) for seed, split in enumerate(("policy", "test")))
    both = Traces.merge(one, two)
    compact = Traces.merge(one.compact(2), two.compact(2))
    assert isinstance(compact, CompactTraces)
    for part in (slice(3, 9), [5, 40, 7], both.labels == 0):
        for name in FACTS:
            assert np.array_equal(getattr(compact[part], name), getattr(both[part], name)), name
        assert np.array_equal(compact[part].columns("features"), both[part].columns("features"))
    assert np.array_equal(compact.select("test").predictions, two.predictions)
    with pytest.raises(InputError, match="nothing is chosen on test"):
        calibrate(Confidence(), compact, target_timesteps=2)
    with pytest.raises(InputError, match="all compact or all full, got both"):
        Traces.merge(one.compact(2), two)
    with pytest.raises(InputError, match="top_logits in all of the traces, of one size"):
        Traces.merge(one.compact(2), two.compact(3))


def test_energy_and_images_stay():
    full = full_traces()
    compact = full.compact(4)
    assert np.array_equal(compact.energy_pj, full.energy_pj)
    one, two = (EarlyExitVectorEnv(4, traces, reward="energy") for traces in (full, compact))
    assert np.array_equal(one.source._rewards, two.source._rewards)
    images = [ChooseTimestepEnv(traces).reset(seed=0)[0] for traces in (full, compact)]
    assert np.array_equal(*images)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda traces: traces.logits, "Expected traces with all logits, got compact ones, which keep 4 of 10"),
        (lambda traces: traces.columns("logits"), "'features' of compact traces, got 'logits'"),
        (lambda traces: traces.columns("hidden"), "'features' of compact traces, got 'hidden'"),
        (lambda traces: EarlyExitEnv(traces, observation="membrane"), "'features' of compact traces, got 'membrane'"),
        (lambda traces: EarlyExitVectorEnv(2, traces, observation="logits"), "use the full traces"),
        (lambda traces: traces.compact(5), "k = 4, as these traces are compact already, got 5"),
        (lambda traces: full_traces().compact(0), r"Expected k from 1 to K = 10, got 0"),
        (lambda traces: full_traces().compact(11), r"Expected k from 1 to K = 10, got 11"),
    ],
)
def test_what_it_cannot_give_is_refused_by_name(use, message):
    compact = full_traces().compact(4)
    with pytest.raises(InputError, match=message):
        use(compact)
    assert compact.compact(4) is compact
    with pytest.raises(AttributeError, match="no attribute 'logit'"):
        compact.logit  # noqa: B018


@pytest.mark.parametrize("name", ["top_logits", "top_classes", "log_sum_exp", "features", "labels"])
def test_arrays_that_do_not_fit_are_one_sentence(name):
    compact = make_traces(10).compact(2)
    fields = {field: getattr(compact, field) for field in CompactTraces.ROW_FIELDS}
    with pytest.raises(InputError, match=r"Expected top_logits and top_classes \[N, T, k\]|Expected sample"):
        CompactTraces(**{**fields, name: fields[name][:, None][:5]}, classes=5, split="policy")


def test_of_many_classes_a_fraction_is_left(tmp_path):
    rng = np.random.default_rng(0)
    full = Traces(logits=rng.normal(size=(500, 4, 1000)).astype(np.float16), labels=[0] * 500, split="policy")
    sizes = [traces.save(tmp_path / name).stat().st_size for name, traces in (("a", full), ("b", full.compact()))]
    assert sizes[0] > 30 * sizes[1]


def test_an_altered_large_file_is_refused_at_its_first_use(tmp_path, monkeypatch):
    monkeypatch.setattr("seenn_env.storage.VERIFY_AT_ONCE", 1024)
    path = make_traces(100).compact(2).save(tmp_path / "compact.safetensors")
    data = bytearray(path.read_bytes())
    data[Traces.load(path).features.offset] ^= 1
    path.write_bytes(data)
    for use in (lambda traces: traces.predictions, lambda traces: traces.columns("features")):
        with pytest.raises(InputError, match=r"'features'.*was altered"):
            use(Traces.load(path))
