"""torchvision's datasets, from small files in its own formats: splits, pixels, and missing files in one sentence."""

import hashlib
import pickle
import struct

import numpy as np
import pytest
import scipy.io

import backbones as bb
from backbones.data import SPLITS
from tests.helpers.programs import run_python

RNG = np.random.default_rng(0)
TRAIN, TEST = 40, 20


def md5(file):
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def pickled(file, content):
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(pickle.dumps(content))
    return md5(file)


def make_cifar(root, patch, kind, folder, key, names_key, K, batches):
    """Files as torchvision unpickles them; it is told their checksums, which it compares as it always does."""
    from torchvision import datasets

    names = [f"class {k}" for k in range(K)]
    pixels, labels, lists = [], [], []
    for file, count in batches:
        data = RNG.integers(256, size=(count, 3 * 32 * 32), dtype=np.uint8)
        given = (np.arange(count) % K).tolist()
        lists.append([file, pickled(root / folder / file, {"data": data, key: given})])
        pixels.append(data.reshape(-1, 3, 32, 32))
        labels += given
    meta = "batches.meta" if kind == "CIFAR10" else "meta"
    sum_ = pickled(root / folder / meta, {names_key: names})
    patch.setattr(getattr(datasets, kind), "train_list", lists[:-1])
    patch.setattr(getattr(datasets, kind), "test_list", lists[-1:])
    patch.setattr(getattr(datasets, kind), "meta", {"filename": meta, "key": names_key, "md5": sum_})
    return np.concatenate(pixels), np.array(labels), tuple(names)


def cifar10(root, patch):
    batches = [*((f"data_batch_{i}", TRAIN // 5) for i in range(1, 6)), ("test_batch", TEST)]
    return make_cifar(root, patch, "CIFAR10", "cifar-10-batches-py", "labels", "label_names", 4, batches)


def cifar100(root, patch):
    batches = [("train", TRAIN), ("test", TEST)]
    return make_cifar(root, patch, "CIFAR100", "cifar-100-python", "fine_labels", "fine_label_names", 4, batches)


def make_mnist(root, kind, names):
    folder = root / kind / "raw"
    folder.mkdir(parents=True)
    pixels, labels = [], []
    for part, count in (("train", TRAIN), ("t10k", TEST)):
        data = RNG.integers(256, size=(count, 28, 28), dtype=np.uint8)
        given = (np.arange(count) % 4).astype(np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + data.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + given.tobytes())
        pixels.append(data[:, None])
        labels.append(given)
    return np.concatenate(pixels), np.concatenate(labels).astype(np.int64), names


def mnist(root, patch):
    return make_mnist(root, "MNIST", tuple("0123456789"))


def fashion_mnist(root, patch):
    from torchvision import datasets

    return make_mnist(root, "FashionMNIST", tuple(datasets.FashionMNIST.classes))


def svhn(root, patch):
    from torchvision import datasets

    pixels, labels, table = [], [], {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        data = RNG.integers(256, size=(32, 32, 3, count), dtype=np.uint8)
        given = 1 + np.arange(count) % 10
        file = root / f"{part}_32x32.mat"
        scipy.io.savemat(file, {"X": data, "y": given[:, None].astype(np.uint8)})
        table[part] = [f"https://nowhere.invalid/{file.name}", file.name, md5(file)]
        pixels.append(data.transpose(3, 2, 0, 1))
        labels.append(given % 10)  # the files call the digit 0 "10"
    patch.setattr(datasets.SVHN, "split_list", table)
    return np.concatenate(pixels), np.concatenate(labels), tuple("0123456789")


SETS = {"cifar10": cifar10, "cifar100": cifar100, "mnist": mnist, "fashion-mnist": fashion_mnist, "svhn": svhn}


@pytest.mark.parametrize("name", SETS)
def test_pixels_labels_and_names_are_those_of_the_files_and_test_is_torchvisions(name, tmp_path, monkeypatch):
    pixels, labels, names = SETS[name](tmp_path, monkeypatch)
    splits = bb.load_dataset(name, tmp_path)
    assert [len(splits[split]) for split in SPLITS] == [32, 4, 4, TEST]
    assert sorted(splits.test.index) == list(range(TRAIN, TRAIN + TEST))
    index = np.concatenate([splits[split].index for split in SPLITS])
    assert sorted(index) == list(range(TRAIN + TEST))
    for split in SPLITS:
        samples = splits[split]
        assert np.array_equal(samples.images, pixels[samples.index])
        assert np.array_equal(samples.labels, labels[samples.index])
        assert (samples.images.dtype, samples.labels.dtype) == (np.uint8, np.int64)
        assert (samples.class_names, samples.dataset, samples.split) == (names, name, split)


def test_sizes_can_be_chosen_are_stratified_and_recorded(tmp_path, monkeypatch):
    cifar10(tmp_path, monkeypatch)
    splits = bb.load_dataset("cifar10", tmp_path, seed=3, policy_size=12, calibration_size=8)
    assert [len(splits[split]) for split in SPLITS] == [20, 12, 8, 20]
    assert np.bincount(splits.policy.labels).tolist() == [3, 3, 3, 3]
    sizes = {"train": 20, "policy": 12, "calibration": 8, "test": 20}
    assert splits.test.division == {"seed": 3, "sizes": sizes}
    with pytest.raises(bb.InputError, match=r"at least 52 images for the splits, got 40"):
        bb.load_dataset("cifar10", tmp_path, policy_size=50, calibration_size=2)
    with pytest.raises(bb.InputError, match=r"four splits in cifar10, got 60: none for train"):
        bb.load_dataset("cifar10", tmp_path, policy_size=30, calibration_size=10)
    with pytest.raises(bb.InputError, match=r"policy_size to be a whole number of 1 or more or None, got 0"):
        bb.load_dataset("cifar10", tmp_path, policy_size=0)


@pytest.mark.parametrize("name", SETS)
def test_missing_data_are_one_sentence_with_the_place_and_the_remedy(name, tmp_path):
    with pytest.raises(bb.InputError) as refused:
        bb.load_dataset(name, tmp_path)
    message = str(refused.value)
    assert str(tmp_path) in message
    assert "root=…" in message
    assert "download=True" in message
    assert "\n" not in message
    assert not list(tmp_path.iterdir())


def test_a_changed_file_is_refused_before_it_is_unpickled(tmp_path, monkeypatch):
    cifar10(tmp_path, monkeypatch)
    file = tmp_path / "cifar-10-batches-py" / "data_batch_3"

    class Trap:
        def __reduce__(self):
            return print, ("unpickled",)

    file.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(bb.InputError, match="cifar-10-batches-py/ is missing there or not whole"):
        bb.load_dataset("cifar10", tmp_path)


def test_data_are_downloaded_on_the_flag_only(tmp_path, monkeypatch):
    from torchvision import datasets

    calls = []

    def fetch(self):
        calls.append(self.root)
        if not list(tmp_path.iterdir()):
            cifar10(tmp_path, monkeypatch)

    monkeypatch.setattr(datasets.CIFAR10, "download", fetch)
    with pytest.raises(bb.InputError):
        bb.load_dataset("cifar10", tmp_path)
    assert not calls
    assert len(bb.load_dataset("cifar10", tmp_path, download=True).test) == TEST
    assert calls


def test_a_download_that_fails_is_one_sentence(tmp_path, monkeypatch):
    from torchvision import datasets

    def fail(self):
        raise OSError("no\nnetwork")

    monkeypatch.setattr(datasets.SVHN, "download", fail)
    with pytest.raises(bb.InputError, match=r"download svhn to .*, which failed \(no network\): put train_32x32.mat"):
        bb.load_dataset("svhn", tmp_path, download=True)


def test_torchvision_and_tonic_are_imported_only_when_they_are_needed():
    code = "import sys, backbones, backbones.training.loop; print({'torchvision', 'tonic'} & {*sys.modules})"
    assert run_python("-c", code)[0].strip() == "set()"


def test_a_folder_has_to_be_named_and_sizes_of_images_stay(tmp_path):
    with pytest.raises(bb.InputError, match=r"where the data of 'mnist' are: set root"):
        bb.load_dataset("mnist")
    with pytest.raises(bb.InputError, match=r"no image_size for 'mnist', which does not read it, got 64"):
        bb.load_dataset("mnist", tmp_path, image_size=64)
