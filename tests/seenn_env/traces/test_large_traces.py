"""Traces larger than memory: read through the map, a few rows at a time, and refused when altered.

The limit of large traces is lowered, so that small ones are large.
"""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from agents import Confidence, calibrate
from backbones import InputError, array_files
from seenn_env import EarlyExitEnv, EarlyExitVectorEnv, Traces, evaluate, make_observation
from seenn_env.observations.observation import Observation
from tests.helpers.traces import make_traces


@pytest.fixture
def limits(monkeypatch):
    """Everything above 4 kB is large, and is read 1 kB at a time."""
    monkeypatch.setattr("seenn_env.arrays.LARGE_BYTES", 4096)
    monkeypatch.setattr("seenn_env.arrays.CHUNK_BYTES", 1024)
    monkeypatch.setattr("backbones.array_files.CHUNK_BYTES", 1024)


def saved(tmp_path, **options):
    return make_traces(**options).save(tmp_path / "traces.safetensors")


def altered(path):
    """One bit of the first logit is flipped."""
    traces = Traces.load(path, verify=False)
    data = bytearray(path.read_bytes())
    data[data.index(traces.logits.tobytes())] ^= 1
    path.write_bytes(data)
    return path


USES = {
    "predictions": lambda traces: traces.predictions,
    "accuracy": lambda traces: traces.accuracy,
    "columns": lambda traces: traces.columns("features"),
    "columns of a part": lambda traces: traces[:3].columns("logits"),
    "rows": lambda traces: traces[[3, 1]],
    "merge": lambda traces: Traces.merge(traces, make_traces(9, split="test")),
    "save": lambda traces: traces.save(traces.path.with_name("copy.safetensors")),
    "evaluate": lambda traces: evaluate(Confidence(0.5), traces),
    "calibrate": lambda traces: calibrate(Confidence(), traces, target_timesteps=2),
    "EarlyExitEnv": lambda traces: EarlyExitEnv(traces),
    "EarlyExitVectorEnv": lambda traces: EarlyExitVectorEnv(4, traces),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_an_altered_large_file_is_refused_at_its_first_use(use, tmp_path, limits):
    path = saved(tmp_path)
    use(Traces.load(path))
    traces = Traces.load(altered(path))
    with pytest.raises(InputError, match=r"'logits'.*was altered"):
        use(traces)
    with pytest.raises(InputError, match=r"'logits'.*was altered"):
        use(traces)
    with pytest.raises(InputError, match="was altered"):
        Traces.load(path, verify=True)


def test_a_large_file_is_read_for_its_digests_once(tmp_path, limits, monkeypatch):
    digested, digest = [], array_files.hash_bytes
    monkeypatch.setattr(array_files, "hash_bytes", lambda data: digested.append(1) or digest(data))
    traces = Traces.load(saved(tmp_path)).select("policy")
    digested.clear()
    traces.columns("features")
    once = len(digested)
    assert once > 40
    traces.columns("logits")
    traces[:3].accuracy  # noqa: B018
    assert len(digested) == once


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_large_traces_give_the_figures_of_small_ones(tmp_path, dtype, request):
    small = make_traces(300)
    small = Traces(logits=small.logits.astype(dtype), labels=small.labels, split="policy")
    want = {name: small.columns(name) for name in ("features", "logits")}
    request.getfixturevalue("limits")
    large = Traces.load(small.save(tmp_path / "traces.safetensors"))
    assert np.array_equal(large.predictions, small.logits.argmax(-1))
    for name, columns in want.items():
        assert np.array_equal(large.columns(name), columns)
        assert isinstance(_owner(large.columns(name)), np.memmap) == (columns.nbytes > 4096)
    rows = np.array([5, 200, 7])
    mask = np.arange(300) % 3 > 0
    for part, same in ((rows, rows), (mask, mask), (slice(None, None, 2), slice(None, None, 2)), (slice(3, 9),) * 2):
        assert np.array_equal(large[part].logits, small.logits[same])
    merged = Traces.merge(large, replace(large[mask], split="test"))
    assert np.array_equal(merged.logits, np.concatenate([small.logits, small.logits[mask]]))
    assert large[mask].save(tmp_path / "a").read_bytes() == small[mask].save(tmp_path / "b").read_bytes()


def _owner(array):
    """The array that owns the memory of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def test_a_split_of_neighbouring_rows_is_a_view_of_the_file(tmp_path):
    parts = [make_traces(50, split=split) for split in ("policy", "calibration", "test")]
    traces = Traces.load(Traces.merge(*parts).save(tmp_path / "traces.safetensors"))
    part = traces.select("calibration")
    assert np.shares_memory(part.logits, traces.logits)
    assert np.array_equal(part.logits, parts[1].logits)


def test_environments_and_evaluation_never_hold_all_logits(tmp_path, monkeypatch):
    monkeypatch.setattr("seenn_env.arrays.LARGE_BYTES", 1 << 20)
    monkeypatch.setattr("seenn_env.arrays.CHUNK_BYTES", 1 << 16)
    path = saved(tmp_path, N=1500, K=1000)  # 24 MB of logits
    tracemalloc.start()
    traces = Traces.load(path).select("policy")
    envs = EarlyExitVectorEnv(16, traces)
    envs.reset(seed=0)
    for _ in range(20):
        envs.step(envs.action_space.sample())
    evaluate(Confidence(), traces)
    calibrate(Confidence(), traces, target_timesteps=2)
    traces.columns("logits")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6e6


def test_the_logits_of_a_timestep_are_prepared_once():
    prepared = []

    def prepare(logits):
        prepared.append(len(logits))
        return logits.max(-1)

    def columns(now, before, timestep, timesteps):
        return np.stack([now, now - before], -1).clip(-50, 50)

    bound = np.full(2, 50, np.float32)
    observation = Observation("peak", 4, ("peak", "rise"), -bound, bound, columns, prepare=prepare)
    traces = make_traces(10)
    whole = traces.columns(observation)
    assert prepared == [10] * 4 + [1, 1]  # and of one row alone
    for t in range(4):
        alone = observation(traces.logits[:, t], traces.logits[:, max(t - 1, 0)], np.full(10, t + 1))
        assert np.array_equal(whole[:, t], alone)


def test_features_carried_along_equal_those_of_pairs_of_timesteps():
    traces = make_traces(3000, K=101)  # more than one chunk
    observation = make_observation("features", timesteps=4, num_classes=101)
    for t in range(4):
        alone = observation(traces.logits[:, t], traces.logits[:, max(t - 1, 0)], np.full(3000, t + 1))
        assert np.array_equal(traces.columns("features")[:, t], alone)


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"a mask \[10\] or a slice, got bool \[3\]"):
        make_traces(10)[np.ones(3, bool)]
