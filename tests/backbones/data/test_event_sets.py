"""Events become frames; without tonic, or without data, one sentence says what to do.

What tonic itself reads is in `test_tonic.py`: it is not installed with the other tests.
"""

import sys
import types

import numpy as np
import pytest

import backbones as bb
from backbones.data import SPLITS
from backbones.data.event_sets import count_events

EVENT = np.dtype([("t", np.uint64), ("x", np.uint16), ("y", np.uint16), ("p", bool)])


def events(*rows):
    return np.array([tuple(row) for row in rows], EVENT)


def test_events_are_counted_by_time_polarity_and_place():
    given = events((100, 0, 0, 0), (109, 3, 1, 1), (110, 3, 1, 1), (111, 3, 1, 1), (119, 2, 3, 0))
    frames = count_events(given, 2, (4, 4))
    expected = np.zeros((2, 2, 4, 4), np.uint8)
    expected[0, 0, 0, 0] = expected[0, 1, 1, 3] = 1  # ten of the twenty units each
    expected[1, 1, 1, 3], expected[1, 0, 3, 2] = 2, 1
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, expected)


def test_a_smaller_frame_adds_up_the_events_of_several_pixels():
    rng = np.random.default_rng(0)
    given = np.zeros(5000, EVENT)
    given["t"], given["p"] = np.sort(rng.integers(10_000, size=5000)), rng.integers(2, size=5000)
    given["x"], given["y"] = rng.integers(16, size=(2, 5000))
    whole, small = (count_events(given, 5, (16, 16), size) for size in (None, 4))
    assert whole.sum() == 5000
    assert np.array_equal(small, whole.reshape(5, 2, 4, 4, 4, 4).sum((3, 5)))


def test_counts_end_at_255_and_events_beyond_the_sensor_are_left_out():
    given = events(*[(0, 1, 1, 1)] * 300, (1, 9, 0, 1))
    frames = count_events(given, 1, (4, 4))
    assert frames[0, 1, 1, 1] == 255
    assert frames.astype(int).sum() == 255
    assert not count_events(given[:0], 3, (4, 4)).any()


def test_without_tonic_one_sentence_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tonic", None)
    with pytest.raises(bb.InputError, match=r"tonic to read n-mnist, .*pip install 'seenn-env\[events\]'.*'frames'"):
        bb.load_dataset("n-mnist", tmp_path, timesteps=4)


def test_the_number_of_frames_and_the_folder_have_to_be_named(tmp_path):
    with pytest.raises(bb.InputError, match="how many frames to count the events of 'cifar10-dvs' in: set timesteps"):
        bb.load_dataset("cifar10-dvs", tmp_path)
    with pytest.raises(bb.InputError, match="where the data of 'cifar10-dvs' are: set root"):
        bb.load_dataset("cifar10-dvs", timesteps=4)


class Recordings:
    """As tonic's datasets are, from files of events that numpy wrote."""

    sensor_size = (8, 8, 2)
    classes = ("0 - zero", "1 - one")
    filename, file_md5 = "all.zip", "0"

    def __init__(self, save_to, train=True):
        from pathlib import Path

        self.location_on_system = str(Path(save_to) / type(self).__name__)
        folder = Path(self.location_on_system) / ("Train" if train else "Test")
        if not folder.is_dir():
            self.download()
        self.data = [str(file) for file in sorted(folder.rglob("*.npy"), reverse=True)]
        self.targets = [int(file[-5]) for file in self.data]

    def download(self):
        raise OSError("nobody may call this")

    def __len__(self):
        return len(self.data)

    def __getitem__(self, row):
        return np.load(self.data[row]), self.targets[row]


@pytest.fixture
def recordings(monkeypatch, tmp_path):
    tonic, tools = types.ModuleType("tonic"), types.ModuleType("tonic.download_utils")
    tonic.datasets = types.SimpleNamespace(NMNIST=type("NMNIST", (Recordings,), {}))
    tools.check_integrity = lambda path, md5=None: False
    monkeypatch.setitem(sys.modules, "tonic", tonic)
    monkeypatch.setitem(sys.modules, "tonic.download_utils", tools)
    rng = np.random.default_rng(0)
    for part, count in (("Train", 40), ("Test", 6)):
        (tmp_path / "NMNIST" / part).mkdir(parents=True)
        for i in range(count):
            given = np.zeros(50, EVENT)
            given["t"], given["x"], given["y"] = np.sort(rng.integers(1000, size=50)), *rng.integers(8, size=(2, 50))
            np.save(tmp_path / "NMNIST" / part / f"{i:03}-{i % 2}.npy", given)
    return tmp_path


def test_recordings_are_divided_and_counted_once(recordings, monkeypatch):
    splits = bb.load_dataset("n-mnist", recordings, timesteps=3, image_size=4)
    assert [len(splits[name]) for name in SPLITS] == [32, 4, 4, 6]
    assert splits.train.images.shape == (32, 3, 2, 4, 4)
    assert splits.train.class_names == ("0", "1")
    for samples in (splits.policy, splits.test):
        part, first = ("Train", 0) if samples.split == "policy" else ("Test", 40)
        for row, number in enumerate(samples.index - first):
            given = np.load(recordings / "NMNIST" / part / f"{number:03}-{number % 2}.npy")
            assert np.array_equal(samples.images[row], count_events(given, 3, (8, 8), 4))
            assert samples.labels[row] == number % 2
    from backbones.data import event_sets

    monkeypatch.setattr(event_sets, "count_events", None)
    again = bb.load_dataset("n-mnist", recordings, timesteps=3, image_size=4)
    assert np.array_equal(again.test.images, splits.test.images)


def test_a_recording_that_cannot_be_read_is_named(recordings):
    bad = recordings / "NMNIST" / "Train" / "007-1.npy"
    bad.write_bytes(bad.read_bytes()[:-40])
    with pytest.raises(bb.InputError, match=r"recording of events, but .*007-1.npy cannot be read"):
        bb.load_dataset("n-mnist", recordings, timesteps=3)
    assert not (recordings / ".seenn-cache").exists()


def test_missing_recordings_are_fetched_on_the_flag_only(recordings, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(bb.InputError, match=r"n-mnist in .*elsewhere/NMNIST as tonic keeps it, but all.zip is missing"):
        bb.load_dataset("n-mnist", elsewhere, timesteps=3)
    with pytest.raises(bb.InputError, match=r"download n-mnist to .*, which failed \(nobody may call this\)"):
        bb.load_dataset("n-mnist", elsewhere, timesteps=3, download=True)
