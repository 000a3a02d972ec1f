"""Recording stores the backbone's logits, and continues to the same bytes after a kill."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import backbones as bb
from backbones.contract import make_keys
from backbones.data import Augmentation
from seenn_env import Traces, record
from seenn_env.traces import recording


def test_a_recording_is_the_backbone_stepped_by_hand(digits, network):
    samples = digits.policy.select(slice(0, 20))
    traces = record(network, samples, repeats=2, batch_size=8)
    assert traces.logits.shape == (40, 4, 10)
    rows = [0, 1, 2, 3, 4, 5, 6, 7]  # the first batch
    images = torch.from_numpy(samples.images[np.array(rows) // 2])
    keys = torch.from_numpy(make_keys(samples.index[np.array(rows) // 2], np.array(rows) % 2))
    state = network.start(images, keys)
    for t in range(4):
        logits, state = network.step(state)
        assert np.array_equal(traces.logits[rows, t], logits.numpy())
    assert traces.sample[:4].tolist() == [*samples.index[[0, 0, 1, 1]]]
    assert traces.repeat[:4].tolist() == [0, 1, 0, 1]
    assert traces.labels[:4].tolist() == [*samples.labels[[0, 0, 1, 1]]]
    assert traces.split == "policy"
    assert traces.info["fingerprint"] == network.fingerprint


def test_the_batch_size_pads_and_does_not_matter_beyond_rounding(digits, network):
    samples = digits.test.select(slice(0, 30))
    one, two = (record(network, samples, batch_size=size).logits for size in (7, 64))
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_a_recording_killed_at_any_moment_continues_to_the_same_bytes(digits, network, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "_SECONDS_BETWEEN_SAVES", 0)
    samples = digits.policy.select(slice(0, 50))
    arguments = {"repeats": 2, "batch_size": 16, "dtype": "float16"}
    whole = record(network, samples, tmp_path / "whole.safetensors", **arguments).path.read_bytes()
    file = tmp_path / "a.safetensors"
    step, calls = network.step, 0

    def dying(at):
        def stepping(state):
            nonlocal calls
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            return step(state)

        return stepping

    total = 0
    for at in (1, 6, 2, 9):
        calls = 0
        monkeypatch.setattr(network, "step", dying(at), raising=False)
        with pytest.raises(KeyboardInterrupt):
            record(network, samples, file, **arguments)
        total += calls
        assert not file.exists()
    calls = 0
    monkeypatch.setattr(network, "step", dying(-1), raising=False)
    record(network, samples, file, **arguments)
    assert file.read_bytes() == whole
    assert calls < 7 * 4  # it did not begin anew
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors", "whole.safetensors"]


def test_a_finished_file_and_a_partial_one_with_other_settings_are_refused(digits, network, tmp_path, monkeypatch):
    samples, file = digits.policy.select(slice(0, 10)), tmp_path / "a.safetensors"
    record(network, samples, file)
    before = file.read_bytes()
    with pytest.raises(bb.InputError, match="holds a recording already: choose another path, or set overwrite"):
        record(network, samples, file)
    assert file.read_bytes() == before
    record(network, samples, file, overwrite=True, repeats=2)
    assert len(Traces.load(file)) == 20
    file.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(network, "step", lambda state: 1 / 0, raising=False)
        with pytest.raises(ZeroDivisionError):
            record(network, samples, file)
    with pytest.raises(bb.InputError, match="part of a recording with other settings"):
        record(network, samples, file, repeats=3)
    assert len(record(network, samples, file, repeats=3, overwrite=True)) == 30


def killed_recording(network, samples, file, monkeypatch, batches):
    """A recording that ends after some batches of 4 rows."""
    steps, step = [], network.step

    def dying(state):
        steps.append(1)
        if len(steps) > batches * network.timesteps:
            raise KeyboardInterrupt
        return step(state)

    with monkeypatch.context() as patch:
        patch.setattr(network, "step", dying, raising=False)
        patch.setattr("seenn_env.traces.recording._SECONDS_BETWEEN_SAVES", 0)
        with pytest.raises(KeyboardInterrupt):
            record(network, samples, file, batch_size=4)


def test_a_recording_of_images_that_changed_is_not_continued(digits, network, tmp_path, monkeypatch):
    samples, file = digits.policy.select(slice(0, 20)), tmp_path / "a.safetensors"
    killed_recording(network, samples, file, monkeypatch, 3)
    changed = samples.images.copy()
    changed[0, 0, 0, 0] ^= 1
    with pytest.raises(bb.InputError, match="part of a recording with other settings"):
        record(network, replace(samples, images=changed), file, batch_size=4)


@pytest.mark.parametrize("name", ["logits.rows", "done.rows"])
def test_altered_rows_of_a_partial_recording_are_recorded_again(digits, network, tmp_path, monkeypatch, name):
    samples, file = digits.policy.select(slice(0, 20)), tmp_path / "a.safetensors"
    whole = record(network, samples, tmp_path / "whole.safetensors", batch_size=4).path.read_bytes()
    for cut in (False, True):
        killed_recording(network, samples, file, monkeypatch, 3)
        part = file.with_name(f"{file.name}.partial") / name
        data = bytearray(part.read_bytes())
        data[5] ^= 1
        part.write_bytes(data[: len(data) // 2] if cut else data)
        record(network, samples, file, batch_size=4)
        assert file.read_bytes() == whole
        file.unlink()


def test_a_recording_killed_after_it_wrote_its_file_only_tidies_up(digits, network, tmp_path, monkeypatch):
    samples, file = digits.policy.select(slice(0, 20)), tmp_path / "a.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr("seenn_env.traces.partial.PartialRecording.remove", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            record(network, samples, file)
    before = file.read_bytes()
    with pytest.raises(bb.InputError, match="holds a recording already: choose another path, or set overwrite"):
        record(network, samples, file, repeats=2)
    with monkeypatch.context() as patch:
        patch.setattr(network, "step", lambda _: 1 / 0, raising=False)
        record(network, samples, file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_logits_that_are_not_finite_are_not_written(digits, tmp_path):
    network = bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=4)
    with torch.no_grad():
        network.head[-1].bias[3] = torch.nan
    with pytest.raises(bb.InputError, match=f"NaN or infinity for sample {digits.test.index[0]}"):
        record(network, digits.test, tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


@pytest.mark.parametrize("arguments", [{"repeats": 0}, {"batch_size": 0}, {"dtype": "float64"}])
def test_bad_arguments_are_one_sentence(digits, network, arguments):
    with pytest.raises(bb.InputError, match=r"Expected .* got"):
        record(network, digits.test, **arguments)


def test_augmented_repeats_are_other_views_of_the_image_and_the_first_is_itself(digits):
    network = bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), encoding="direct", std=0.05).eval()
    samples = digits.policy.select(slice(0, 30))
    views = Augmentation(crop=2, flip=True)
    plain = record(network, samples, batch_size=16)
    traces = record(network, samples, repeats=3, augmentation=views, batch_size=16)
    assert traces.repeat[:4].tolist() == [0, 1, 2, 0]
    assert np.array_equal(traces.sample[::3], samples.index)
    np.testing.assert_allclose(traces.logits[::3], plain.logits, atol=1e-5)
    assert (traces.logits[1::3] != traces.logits[::3]).any((1, 2)).sum() > 20
    assert (traces.logits[1::3] != traces.logits[2::3]).any((1, 2)).sum() > 20
    again = record(network, samples.select(slice(7, 9)), repeats=3, augmentation=views, batch_size=16)
    np.testing.assert_allclose(again.logits, traces.logits[21:27], atol=0.5)  # filled with another mean
    assert traces.info["augmentation"]["crop"] == 2
    other = record(network, samples, repeats=3, augmentation=Augmentation(crop=2, seed=1), batch_size=16)
    assert not np.array_equal(other.logits, traces.logits)


def test_repeats_of_pictures_are_shifted_and_mirrored_pixels(digits):
    samples = digits.policy.select(slice(0, 200))
    shown = Augmentation(flip=True).repeats(samples, 2).reshape(200, 2, 1, 8, 8)
    assert np.array_equal(shown[:, 0], samples.images)
    mirrored = (shown[:, 1] == samples.images[..., ::-1]).all((1, 2, 3))
    kept = (shown[:, 1] == samples.images).all((1, 2, 3))
    assert (mirrored | kept).all()
    assert 60 < mirrored.sum() < 140


@pytest.mark.parametrize("path", ["", ".", "/"])
def test_a_folder_as_the_file_of_a_recording_is_refused(path, digits, network):
    with pytest.raises(bb.InputError, match="got a folder"):
        record(network, digits.policy.select(slice(0, 20)), path)
