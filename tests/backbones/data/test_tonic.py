"""The event sets through tonic itself, from small recordings in its own formats.

tonic is an optional extra (GPL) that `make test` does not install: `pip install -e '.[events]'` runs these.
"""

import struct
from pathlib import Path

import numpy as np
import pytest

import backbones as bb
from backbones.data import SPLITS
from backbones.data.event_sets import count_events

pytest.importorskip("tonic", reason="tonic is an optional extra: pip install -e '.[events]'")

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Fewer files than a whole set has are none to tonic; here they are enough."""
    import tonic

    has = tonic.dataset.Dataset._folder_contains_at_least_n_files_of_type
    fewer = lambda self, n, kind: has(self, 1, kind)  # noqa: E731
    monkeypatch.setattr(tonic.dataset.Dataset, "_folder_contains_at_least_n_files_of_type", fewer)


def events(count=200, side=34):
    return np.sort(RNG.integers(300_000, size=count)), *RNG.integers(side, size=(2, count)), RNG.integers(2, size=count)


def structured(t, x, y, p):
    made = np.zeros(len(t), [("t", int), ("x", int), ("y", int), ("p", int)])
    made["t"], made["x"], made["y"], made["p"] = t, x, y, p
    return made


def make_n_mnist(root):
    """40 bits an event: x, y, one of polarity and 23 of time."""
    found = {}
    for part, count in (("Train", 40), ("Test", 10)):
        (root / "NMNIST").mkdir(exist_ok=True)
        (root / "NMNIST" / f"{part.lower()}.zip").touch()
        for i in range(count):
            t, x, y, p = events()
            file = root / "NMNIST" / part / str(i % 10) / f"{i:05}.bin"
            file.parent.mkdir(parents=True, exist_ok=True)
            rows = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], 1).astype(np.uint8)
            file.write_bytes(rows.tobytes())
            found[str(file)] = structured(t, x, y, p), i % 10
    return found, (34, 34), 50


def make_gesture(root):
    """A matrix of x, y, polarity and milliseconds."""
    found = {}
    for part, count in (("ibmGestureTrain", 44), ("ibmGestureTest", 11)):
        (root / "DVSGesture").mkdir(exist_ok=True)
        (root / "DVSGesture" / f"{part}.tar.gz").touch()
        for i in range(count):
            t, x, y, p = events(side=128)
            file = root / "DVSGesture" / part / f"user{i // 11:02}_led" / f"{i % 11}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, np.stack([x, y, p, t // 1000], 1).astype(float))
            found[str(file)] = structured(t // 1000 * 1000, x, y, p), i % 11
    return found, (128, 128), 55


def write_aedat4(file, t, x, y, p):
    """AEDAT 4: magic, a head with the streams' names as XML, and one packet; head and packet are flatbuffers."""
    size = '<attr key="sizeX" type="int">128</attr><attr key="sizeY" type="int">128</attr>'
    kind = '<attr key="typeIdentifier" type="string">EVTS</attr>'
    stream = f'<node name="0" path="/0">{kind}<node name="info" path="/info">{size}</node></node>'
    text = f'<dv version="2.0"><node name="outInfo" path="/outInfo">{stream}</node></dv>'.encode()
    # Where the root is, its kind, its table of fields, the fields.
    head = struct.pack("<I4s5H2xiiqI4xI", 20, b"IOHE", 10, 24, 4, 8, 16, 12, 0, -1, 8, len(text)) + text + b"\0"
    rows = np.zeros(len(t), [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("on", "?"), ("padding", "V3")])
    rows["t"], rows["x"], rows["y"], rows["on"] = t, x, y, p
    body = struct.pack("<I4s3H2xiI8xI", 16, b"EVTS", 6, 8, 4, 8, 12, len(t)) + rows.tobytes()
    body = struct.pack("<I", len(body)) + body
    head = struct.pack("<I", len(head)) + head
    file.write_bytes(b"#!AER-DAT4.0\r\n" + head + struct.pack("<ii", 0, len(body)) + body)


def make_cifar10_dvs(root):
    import tonic

    folder, found = root / "CIFAR10DVS", {}
    folder.mkdir()
    (folder / "CIFAR10DVS.zip").touch()
    for label, kind in enumerate(tonic.datasets.CIFAR10DVS.classes):
        (folder / kind).mkdir()
        for i in range(10):
            t, x, y, p = events(side=128)
            write_aedat4(folder / kind / f"{i}.aedat4", t, x, y, p)
            found[str(folder / kind / f"{i}.aedat4")] = structured(t, x, y, p), label
    return found, (128, 128), 100


@pytest.mark.parametrize(
    ("name", "make", "tests"),
    [("n-mnist", make_n_mnist, 10), ("dvs128-gesture", make_gesture, 11), ("cifar10-dvs", make_cifar10_dvs, 10)],
)
def test_recordings_that_tonic_reads_become_frames(name, make, tests, tmp_path):
    found, sensor, N = make(tmp_path)
    splits = bb.load_dataset(name, tmp_path, timesteps=5, image_size=16, policy_size=4, calibration_size=4)
    files = sorted(found, key=lambda file: ("Test" in Path(file).relative_to(tmp_path).parts[1], file))
    assert sum(len(splits[split]) for split in SPLITS) == N
    assert len(splits.test) == tests
    for split in SPLITS:
        samples = splits[split]
        for row, index in enumerate(samples.index):
            given, label = found[files[index]]
            assert samples.labels[row] == label
            assert np.array_equal(samples.images[row], count_events(given, 5, sensor, 16))


@pytest.mark.parametrize("name", ["cifar10-dvs", "dvs128-gesture", "n-mnist"])
def test_without_the_recordings_nothing_is_fetched(name, tmp_path, monkeypatch):
    import tonic

    def fetch(*arguments, **named):
        raise AssertionError("a download without the flag")

    monkeypatch.setattr(tonic.dataset, "download_and_extract_archive", fetch)
    with pytest.raises(
        bb.InputError, match=rf"Expected {name} in .* as tonic keeps it, but .* is missing .*--download"
    ):
        bb.load_dataset(name, tmp_path, timesteps=4)


def test_an_archive_that_is_there_is_unpacked_without_the_flag(tmp_path, monkeypatch):
    import hashlib
    import zipfile

    import tonic

    make_n_mnist(tmp_path)
    folder = tmp_path / "NMNIST"
    for part in ("Train", "Test"):
        archive = folder / f"{part.lower()}.zip"
        with zipfile.ZipFile(archive, "w") as made:
            for file in sorted((folder / part).rglob("*.bin")):
                made.write(file, file.relative_to(folder))
                file.unlink()
        sum_ = hashlib.md5(archive.read_bytes(), usedforsecurity=False).hexdigest()
        monkeypatch.setattr(tonic.datasets.NMNIST, f"{part.lower()}_md5", sum_)
    assert len(bb.load_dataset("n-mnist", tmp_path, timesteps=2).test) == 10
