"""Class-per-folder trees: splits, cache, and what is wrong with a folder in one sentence."""

import numpy as np
import pytest
from PIL import Image

import backbones as bb


def tree(root, classes=("cat", "dog"), counts=(30, 30), size=(8, 6), seed=0):
    rng = np.random.default_rng(seed)
    for name, count in zip(classes, counts, strict=True):
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:03}.png")
    return root


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "pets"
    tree(root / "train", counts=(40, 40))
    tree(root / "test", counts=(5, 5), seed=1)
    return root


def test_named_test_images_are_the_test_split_and_the_rest_is_divided(images):
    splits = bb.load_dataset("folder", images)
    assert [len(splits[name]) for name in bb.SPLITS] == [64, 8, 8, 10]
    index = np.concatenate([splits[name].index for name in bb.SPLITS])
    assert sorted(index) == list(range(90))
    assert sorted(splits.test.index) == list(range(80, 90))
    assert np.bincount(splits.calibration.labels).tolist() == [4, 4]
    assert splits.train.class_names == ("cat", "dog")
    assert splits.train.dataset == "pets"
    assert splits.train.images.shape == (64, 3, 6, 8)


def test_without_test_images_a_fifth_is_split_off(tmp_path):
    splits = bb.load_dataset("folder", tree(tmp_path / "pets"))
    assert [len(splits[name]) for name in bb.SPLITS] == [40, 4, 4, 12]
    index = np.concatenate([splits[name].index for name in bb.SPLITS])
    assert sorted(index) == list(range(60))


def test_pixels_and_labels_are_those_of_the_files(images):
    splits = bb.load_dataset("folder", images)
    files = sorted((images / "train").rglob("*.png"))
    for row in (0, 7):
        file = files[splits.policy.index[row]]
        assert np.array_equal(splits.policy.images[row], np.asarray(Image.open(file)).transpose(2, 0, 1))
        assert splits.policy.class_names[splits.policy.labels[row]] == file.parent.name


def test_images_are_decoded_once_and_again_when_a_file_changes(images, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = bb.load_dataset("folder", images, cache_dir=cache)
    assert [path.suffix for path in cache.iterdir()] == [".npy"]
    assert not (images / ".seenn-cache").exists()

    from backbones import folder

    with monkeypatch.context() as patch:
        patch.setattr(folder, "_read", None)
        again = bb.load_dataset("folder", images, cache_dir=cache)
    assert np.array_equal(first.train.images, again.train.images)
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(images / "test" / "cat" / "000.png")
    changed = bb.load_dataset("folder", images, cache_dir=cache)
    assert not changed.test.images[0].any()


def test_the_cache_in_the_folder_is_no_class(images):
    bb.load_dataset("folder", images)
    assert (images / ".seenn-cache").is_dir()
    assert bb.load_dataset("folder", images).train.class_names == ("cat", "dog")


def test_images_of_different_sizes_are_resized_if_asked(tmp_path):
    root = tree(tmp_path / "pets")
    Image.new("RGB", (20, 9)).save(root / "dog" / "big.jpg")
    with pytest.raises(bb.InputError, match=r"images of 8 × 6 pixels as in .*, got 20 × 9 pixels in .*big.jpg: set"):
        bb.load_dataset("folder", root)
    assert bb.load_dataset("folder", root, image_size=5).train.images.shape[1:] == (3, 5, 5)


def test_wrong_folders_are_one_sentence(tmp_path):
    with pytest.raises(bb.InputError, match="set root"):
        bb.load_dataset("folder")
    with pytest.raises(bb.InputError, match=r"folder of images, found none at .*nowhere"):
        bb.load_dataset("folder", tmp_path / "nowhere")
    with pytest.raises(bb.InputError, match=r"folder for each class .* got 0"):
        bb.load_dataset("folder", tmp_path)


def test_an_empty_class_is_named(images):
    for file in (images / "test" / "dog").iterdir():
        file.unlink()
    with pytest.raises(bb.InputError, match=r"images of class 'dog', found none in .*test/dog"):
        bb.load_dataset("folder", images)


def test_classes_that_test_lacks_are_named(images):
    (images / "train" / "fish").mkdir()
    Image.new("RGB", (8, 6)).save(images / "train" / "fish" / "0.png")
    with pytest.raises(bb.InputError, match="classes of train in test too"):
        bb.load_dataset("folder", images)


@pytest.mark.parametrize("content", [b"no image", b""])
def test_an_unreadable_image_is_named_and_leaves_no_cache(images, content):
    bad = images / "train" / "cat" / "017.png"
    bad.write_bytes(content)
    with pytest.raises(bb.InputError, match=r"017.png cannot be read"):
        bb.load_dataset("folder", images)
    assert not list((images / ".seenn-cache").iterdir())


def test_a_truncated_image_is_named(images):
    bad = images / "train" / "cat" / "017.png"
    bad.write_bytes(bad.read_bytes()[:-60])
    with pytest.raises(bb.InputError, match=r"017.png cannot be read"):
        bb.load_dataset("folder", images)


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(bb.InputError, match=r"enough for four splits in .*, got 4: none for"):
        bb.load_dataset("folder", tree(tmp_path / "pets", counts=(2, 2)))
