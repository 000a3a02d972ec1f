"""Traces carry hidden spikes, potentials, energy and images through recording, slicing, merging and files."""

from dataclasses import replace

import numpy as np
import pytest

import backbones as bb
import seenn_env.traces.recording
from agents.commands.record import Record
from backbones import InputError
from backbones.contract import make_keys, run_probed
from seenn_env import Traces, record
from tests.helpers.recorded import BATCH, EVERY, few_samples, full_traces, small_backbone

ROWS = ("logits", "labels", "sample", "repeat", "hidden", "membrane", "energy_pj")


def assert_same(first, second):
    for name in (*ROWS, "split_codes", "images", "image_index"):
        a, b = getattr(first, name), getattr(second, name)
        assert (a is None) == (b is None), name
        assert a is None or (a.dtype == b.dtype and np.array_equal(a, b)), name


def test_recorded_probes_are_the_last_layers_spikes_and_potentials_pooled_over_space():
    backbone, samples = small_backbone(), few_samples()
    traces = full_traces(dtype="float32", repeats=1)
    keys = make_keys(samples.index)
    for rows, fields in run_probed(backbone, samples.images, keys, probes=("hidden", "membrane"), batch_size=BATCH):
        for name, values in fields.items():
            assert np.array_equal(getattr(traces, name)[rows], values.numpy())
    assert traces.hidden.shape == traces.membrane.shape == (12, 4, 8)
    assert 0 < traces.hidden.mean() < 1


def test_a_file_keeps_every_field(tmp_path):
    traces = full_traces()
    assert_same(traces, Traces.load(traces.save(tmp_path / "all.safetensors")))


def test_a_slice_keeps_its_rows_of_every_field_and_finds_its_images():
    traces, rows = full_traces(), [5, 1, 20]
    part = traces[rows]
    for name in ROWS:
        assert np.array_equal(getattr(part, name), getattr(traces, name)[rows])
    samples = few_samples()
    for row in range(3):
        expected = samples.images[samples.index == part.sample[row]][0]
        assert np.array_equal(part.images[part.image_places[row]], expected)


def test_a_slices_file_holds_only_the_images_that_it_shows(tmp_path):
    part = full_traces()[:3]
    assert sorted(Traces.load(part.save(tmp_path / "part.safetensors")).image_index) == sorted(set(part.sample))


def test_merged_traces_have_every_row_and_each_image_once():
    policy, calibration = full_traces(), full_traces("calibration")
    merged = Traces.merge(policy, replace(policy[:3], repeat=np.full(3, 9)), calibration)
    assert len(merged) == 51
    assert len(merged.images) == 24
    assert_same(merged.select("calibration")[:], merged[27:])
    assert np.array_equal(merged.hidden[24:27], policy.hidden[:3])


def test_merging_refuses_a_field_that_only_some_have():
    bare = record(small_backbone(), few_samples(), batch_size=BATCH, dtype="float16")
    with pytest.raises(
        InputError, match=r"Expected hidden in all of the traces, of one size, or in none, got \(4, 8\) and None"
    ):
        Traces.merge(full_traces(), bare)


def test_a_recording_that_is_killed_and_continued_is_the_same_byte_for_byte(tmp_path, monkeypatch):
    settings = {"repeats": 2, "batch_size": BATCH, "dtype": "float16", **EVERY}
    record(small_backbone(), few_samples(), tmp_path / "whole.safetensors", **settings)

    monkeypatch.setattr(seenn_env.traces.recording, "_SECONDS_BETWEEN_SAVES", 0.0)

    def killed_after_one_batch(*args, **kwargs):
        yield next(run_probed(*args, **kwargs))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(seenn_env.traces.recording, "run_probed", killed_after_one_batch)
        with pytest.raises(KeyboardInterrupt):
            record(small_backbone(), few_samples(), tmp_path / "killed.safetensors", **settings)
    assert (tmp_path / "killed.safetensors.partial").is_dir()
    record(small_backbone(), few_samples(), tmp_path / "killed.safetensors", **settings)
    assert (tmp_path / "killed.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert not (tmp_path / "killed.safetensors.partial").exists()


class Unprobed:
    """A backbone that gives logits alone."""

    def __init__(self):
        network = small_backbone()
        self.timesteps, self.num_classes, self.device = network.timesteps, network.num_classes, network.device
        self.fingerprint, self.start, self.step, self.refill = "x", network.start, network.step, network.refill


def test_a_backbone_without_probes_is_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"Expected a backbone whose probe\(state\) gives 'hidden'"):
        record(Unprobed(), few_samples(), hidden=True)
    assert record(Unprobed(), few_samples(), batch_size=BATCH).hidden is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden": np.zeros((3, 1, 5), np.float32)}, r"Expected hidden \[N, T, F\] = \[3, 2, F\]"),
        ({"membrane": np.zeros((3, 2, 5))}, "of float32 or float16, got .* of float64"),
        ({"hidden": np.full((3, 2, 5), np.nan, np.float32)}, "Expected finite hidden, got NaN or infinity in row 0"),
        ({"energy_pj": np.ones((3, 2))}, "Expected energy_pj"),
        ({"energy_pj": np.array([[2, 1]] * 3, np.float32)}, "that never falls"),
        ({"images": np.zeros((1, 1, 2, 2), np.uint8)}, "Expected images and image_index together"),
        ({"images": np.zeros((1, 2, 2), np.uint8), "image_index": np.array([0])}, r"Expected images \[M, C, H, W\]"),
        ({"images": np.zeros((2, 1, 2, 2), np.uint8), "image_index": np.array([0, 0])}, "name each sample once"),
        (
            {"images": np.zeros((1, 1, 2, 2), np.uint8), "image_index": np.array([0.5])},
            r"image_index \[1\] of whole numbers",
        ),
        ({"repeat": np.array([0, 0, 2**40])}, "Expected repeat that int32 holds"),
        ({"sample": np.array([0, 1, 2**63], np.uint64)}, "Expected sample that int64 holds"),
        ({"sample": np.array([0, 1, np.inf])}, "Expected sample that int64 holds"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        Traces(logits=np.zeros((3, 2, 4), np.float32), labels=np.zeros(3), split="policy", **fields)


def test_an_image_that_is_missing_is_named():
    traces = full_traces()
    with pytest.raises(InputError, match="record with images=True, or pass the samples"):
        record(small_backbone(), few_samples(), batch_size=BATCH).image_places  # noqa: B018
    fields = {name: getattr(traces, name) for name in ("logits", "labels", "sample", "images", "image_index")}
    fields["sample"] = fields["sample"] + 5000
    with pytest.raises(InputError, match="Expected an image of every sample, got none of sample 50"):
        Traces(**fields, split="policy").image_places  # noqa: B018


def test_the_packaged_digits_have_images_of_every_sample():
    traces = Traces.load("digits")
    assert len(traces.images) == 1097
    assert np.array_equal(traces.image_index[traces.image_places], traces.sample)
    assert traces.path.stat().st_size <= 4_000_000


def test_the_command_records_the_fields_that_are_asked_for(tmp_path):
    bb.save(small_backbone(), tmp_path / "backbone.safetensors")
    Record(
        backbone=tmp_path / "backbone.safetensors", output=tmp_path / "t.safetensors", images=True, hidden=True
    ).run()
    traces = Traces.load(tmp_path / "t.safetensors")
    assert len(traces.images) == 300
    assert traces.hidden.shape == (300, 4, 8)
    assert traces.membrane is None
