"""Traces: figures worked out by hand, files that are whole or refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import backbones as bb
from backbones import InputError
from seenn_env import Traces
from seenn_env.traces.file import map_tensors, write_tensors
from tests.helpers.programs import ROOT
from tests.helpers.traces import make_traces

RIGHT = np.array([[1, 1, 1], [0, 1, 1], [0, 1, 0], [1, 0, 1], [0, 0, 0]])


def hand_made() -> Traces:
    """K = 2, label 0: right where the first logit is larger."""
    return Traces(logits=np.stack([RIGHT, 1 - RIGHT], -1).astype(np.float32), labels=np.zeros(5, int), split="test")


def test_accuracy_aet_empirical_aet_and_oct_are_those_worked_out_by_hand():
    traces = hand_made()
    assert traces.correct.tolist() == RIGHT.astype(bool).tolist()
    assert traces.accuracy.tolist() == [0.4, 0.6, 0.6]
    # C = 2, 3, 3: (1·2 + 2·1 + 3·0 + 3·2) / 5
    assert traces.aet == pytest.approx(2.0)
    # first right: 1, 2, 2, 1, never (3)
    assert traces.empirical_aet == pytest.approx(9 / 5)
    # right from there on: 1, 2, never (3), 3, never (3)
    assert traces.oct == pytest.approx(12 / 5)


def test_a_saved_file_comes_back_the_same_and_equal_traces_give_equal_bytes(tmp_path):
    traces = make_traces(50)
    one, two = traces.save(tmp_path / "one.safetensors"), traces.save(tmp_path / "two.safetensors")
    assert one.read_bytes() == two.read_bytes()
    again = Traces.load(one)
    for name in ("logits", "labels", "sample", "repeat", "split_codes"):
        assert np.array_equal(getattr(again, name), getattr(traces, name)), name
    assert again.split == "policy"
    assert again.path == one
    assert isinstance(again.logits, np.memmap)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.safetensors", "two.safetensors"]


def test_the_file_is_plain_safetensors(tmp_path):
    traces = make_traces(20)
    tensors = safetensors.numpy.load_file(traces.save(tmp_path / "a.safetensors"))
    assert np.array_equal(tensors["logits"], traces.logits)
    assert np.array_equal(tensors["labels"], traces.labels)


def test_a_file_cut_anywhere_is_refused(tmp_path):
    whole = make_traces(30).save(tmp_path / "a.safetensors").read_bytes()
    file = tmp_path / "cut.safetensors"
    for length in [0, 4, 8, 100, 1000, len(whole) // 2, len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"is not whole|truncated"):
            Traces.load(file)


def test_a_flipped_bit_anywhere_is_refused(tmp_path):
    whole = make_traces(30).save(tmp_path / "a.safetensors").read_bytes()
    file = tmp_path / "altered.safetensors"
    rng = np.random.default_rng(0)
    for at in [*range(8), *rng.integers(8, len(whole), 300)]:
        altered = bytearray(whole)
        altered[at] ^= 1 << rng.integers(8)
        file.write_bytes(altered)
        with pytest.raises(InputError):
            Traces.load(file)


def test_digests_cover_chunks_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("backbones.array_files.CHUNK_BYTES", 64)
    file = tmp_path / "a.safetensors"
    write_tensors(file, {"logits": np.arange(64, dtype=np.float32)}, {})
    header = json.loads(file.read_bytes()[8:].split(b"\x00")[0].decode(errors="ignore").rstrip()[: file.stat().st_size])
    assert len(json.loads(header["__metadata__"]["digests"])["logits"]) == 4
    data = bytearray(file.read_bytes())
    data[-256:-128], data[-128:] = data[-128:], data[-256:-128]
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"'logits'.*was altered"):
        map_tensors(file)


def test_a_large_file_is_checked_when_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("seenn_env.arrays.LARGE_BYTES", 0)
    file = make_traces(30).save(tmp_path / "a.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    Traces.load(file)
    with pytest.raises(InputError, match="was altered"):
        Traces.load(file, verify=True)


def test_right_digests_of_impossible_values_are_refused(tmp_path, monkeypatch):
    file, good = tmp_path / "traces.safetensors", {
        "labels": np.zeros(4, np.int64),
        "logits": np.zeros((4, 3, 5), np.float32),
        "sample": np.arange(4),
        "repeat": np.zeros(4, np.int32),
        "split": np.ones(4, np.uint8),
    }  # fmt: skip
    changes = (
        ({"labels": np.full(4, 99)}, "labels in 0…4"),
        ({"logits": np.full((4, 3, 5), np.nan, np.float32)}, "finite logits"),
        ({"logits": np.zeros((4, 3), np.float32)}, "logits"),
        ({"spikes": -np.ones((4, 3), np.int64)}, "never falls"),
        ({"split": np.full(4, 7, np.uint8)}, "splits"),
        ({"../x": np.zeros(4)}, "fields of traces"),
    )
    for change, message in changes:
        write_tensors(file, {**good, **change}, {})
        with pytest.raises(InputError, match=message) as refusal:
            Traces.load(file)
        assert str(file) in str(refusal.value)
    for missing in ("logits", "labels", "split"):
        write_tensors(file, {name: values for name, values in good.items() if name != missing}, {})
        with pytest.raises(InputError, match="fields of traces"):
            Traces.load(file)
    monkeypatch.setattr("seenn_env.arrays.LARGE_BYTES", 0)
    write_tensors(file, {**good, "logits": np.full((4, 3, 5), np.inf, np.float32)}, {})
    traces = Traces.load(file)
    for _ in range(2):
        with pytest.raises(InputError, match="finite logits"):
            traces[:2].predictions  # noqa: B018


def test_missing_files_other_formats_and_unknown_names_are_refused(tmp_path):
    with pytest.raises(InputError, match="found nothing at"):
        Traces.load(tmp_path / "none.safetensors")
    with pytest.raises(InputError, match=r"recording \(or a file\), got 'mnist'. Known: .*digits"):
        Traces.load("mnist")
    safetensors.numpy.save_file({"logits": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="got a safetensors file of another program"):
        Traces.load(tmp_path / "other.safetensors")


def test_slices_selections_and_merges_keep_rows_together():
    one, two = make_traces(10, split="policy"), make_traces(6, split="calibration", seed=1)
    both = Traces.merge(one, two)
    assert both.split == "policy+calibration"
    back = both.select("calibration")
    assert back.split == "calibration"
    assert np.array_equal(back.logits, two.logits)
    assert np.array_equal(back.labels, two.labels)
    assert np.array_equal(one[2:5].logits, one.logits[2:5])
    assert np.array_equal(one[[3, 1]].sample, [3, 1])
    assert np.array_equal(both[both.labels == 0].labels, np.zeros((both.labels == 0).sum()))


def test_a_split_that_is_not_there_and_parts_that_do_not_fit_are_refused():
    traces = make_traces(10)
    with pytest.raises(InputError, match="rows of split 'test', got traces of 'policy'"):
        traces.select("test")
    with pytest.raises(InputError, match="split, got 'dev'"):
        traces.select("dev")
    with pytest.raises(
        InputError, match=r"Expected logits in all of the traces, of one size, .* got \(4, 5\) and \(3, 5\) a row"
    ):
        Traces.merge(traces, make_traces(10, T=3))


def test_merging_one_row_twice_is_refused():
    traces = make_traces(10)
    with pytest.raises(InputError, match="got 3 rows twice, such as sample 4, repeat 0 of 'policy'"):
        Traces.merge(traces[:7], traces[4:])
    assert len(Traces.merge(traces[:4], traces[4:], replace(traces, repeat=np.ones(10)))) == 20
    assert len(Traces.merge(traces[[0, 0, 1]], traces[2:])) == 11


def test_traces_of_another_backbone_are_refused():
    one = Traces(logits=np.zeros((2, 3, 4), np.float32), labels=[0, 1], split="policy", info={"fingerprint": "a"})
    two = Traces(logits=np.zeros((2, 3, 4), np.float32), labels=[0, 1], split="policy", info={"fingerprint": "b"})
    with pytest.raises(InputError, match="of the backbone a, got traces of b"):
        Traces.merge(one, two)


def given(**changes):
    fields = {"logits": np.zeros((4, 3, 2), np.float32), "labels": np.zeros(4, int), "split": "policy"}
    return Traces(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logits": np.full((4, 3, 2), np.nan, np.float32)}, "finite logits, got NaN or infinity in row 0"),
        ({"logits": np.zeros((4, 3, 2))}, "float32 or float16 logits, got float64"),
        ({"logits": np.zeros((3, 3, 2), np.float32)}, r"logits \[N, T, K\] and labels \[N\]"),
        ({"logits": np.zeros((4, 0, 2), np.float32)}, "N, T ≥ 1 and K ≥ 2"),
        ({"logits": np.zeros((4, 3, 1), np.float32)}, "N, T ≥ 1 and K ≥ 2"),
        ({"labels": np.full(4, 2)}, r"labels in 0…1, got 2…2"),
        ({"labels": np.full(4, -1)}, r"labels in 0…1, got -1…-1"),
        ({"split": "valid"}, "split, got 'valid'. Known: calibration, policy, test, train"),
        ({"split": ["policy", "dev", "test", "test"]}, "split, got 'dev'"),
        ({"split": ["policy"]}, "one for each of the 4 rows"),
        ({"sample": [1, 2]}, r"sample \[N\] = \[4\], got \[2\]"),
    ],
)
def test_bad_arrays_are_one_sentence(changes, message):
    with pytest.raises(InputError, match=message):
        given(**changes)


def test_the_packaged_traces_are_a_decision(packaged):
    for split in ("policy", "calibration", "test"):
        part = packaged.select(split)
        assert part.accuracy[0] <= 0.94
        assert part.accuracy[-1] >= 0.97


def test_the_packaged_cifar10_traces_are_those_of_the_card():
    traces = Traces.load("cifar10-jpeg", verify=True)
    assert traces.logits.shape == (20000, 4, 10)
    assert {split: len(traces.select(split)) for split in ("policy", "calibration", "test")} == {
        "policy": 5000,
        "calibration": 5000,
        "test": 10000,
    }
    assert len(np.unique(traces.sample)) == 20000
    assert traces.info["dataset"] == "cifar10-jpeg"
    card = (ROOT / "docs" / "cards" / "cifar10-jpeg.md").read_text()
    assert f"`{traces.info['fingerprint']}`" in card
    for split in ("policy", "calibration", "test"):
        accuracy = " | ".join(f"{100 * right:.2f}" for right in traces.select(split).accuracy)
        assert f"| {split} | {accuracy} |" in card


def test_a_packaged_backbone_is_no_packaged_traces():
    with pytest.raises(
        bb.InputError, match=r"recording \(or a file\), got 'digits-backbone'. Known: cifar10-jpeg, digits"
    ):
        Traces.load("digits-backbone")


def test_packaged_traces_are_found_by_a_path_of_their_name_too():

    assert np.array_equal(Traces.load(Path("digits")).labels, Traces.load("digits").labels)
