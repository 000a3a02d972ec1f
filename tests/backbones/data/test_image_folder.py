"""Class-per-folder trees: splits, cache, and the errors of a folder in one sentence."""

import numpy as np
import pytest
from PIL import Image

import backbones as bb
from agents.deployment.inputs import read_items
from backbones.contract import run
from backbones.data import SPLITS


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
    assert [len(splits[name]) for name in SPLITS] == [64, 8, 8, 10]
    index = np.concatenate([splits[name].index for name in SPLITS])
    assert sorted(index) == list(range(90))
    assert sorted(splits.test.index) == list(range(80, 90))
    assert np.bincount(splits.calibration.labels).tolist() == [4, 4]
    assert splits.train.class_names == ("cat", "dog")
    assert splits.train.dataset == "pets"
    assert splits.train.images.shape == (64, 3, 6, 8)


def test_without_test_images_a_fifth_is_split_off(tmp_path):
    splits = bb.load_dataset("folder", tree(tmp_path / "pets"))
    assert [len(splits[name]) for name in SPLITS] == [40, 4, 4, 12]
    index = np.concatenate([splits[name].index for name in SPLITS])
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
    assert [path.suffix for path in cache.iterdir()] == [".safetensors"]
    assert not (images / ".seenn-cache").exists()

    from backbones.data.image_folder import pixels as folder

    with monkeypatch.context() as patch:
        patch.setattr(folder, "read_pixels", None)
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


def test_grey_images_have_one_channel_of_their_own_pixels(tmp_path):
    root, rng = tmp_path / "grey", np.random.default_rng(0)
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(256, size=(6, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i:02}.png")
    deep = rng.integers(1 << 16, size=(6, 8), dtype=np.uint16)
    Image.fromarray(deep).save(root / "dog" / "00.png")
    splits = bb.load_dataset("folder", root)
    images = np.concatenate([splits[name].images for name in SPLITS])
    order = np.argsort(np.concatenate([splits[name].index for name in SPLITS]))
    assert images.shape == (40, 1, 6, 8)
    assert np.array_equal(images[order][39, 0], pixels)
    assert np.array_equal(images[order][20, 0], deep >> 8)


def test_a_grey_image_among_coloured_ones_gets_three_channels(tmp_path):
    root = tree(tmp_path / "pets")
    Image.new("L", (8, 6), 77).save(root / "cat" / "000.png")  # the first of all
    splits = bb.load_dataset("folder", root)
    images = np.concatenate([splits[name].images for name in SPLITS])
    index = np.concatenate([splits[name].index for name in SPLITS])
    assert images.shape == (60, 3, 6, 8)
    assert (images[index == 0] == 77).all()


def test_the_images_of_val_are_the_test_split_where_test_has_no_classes(images):
    (images / "test").rename(images / "val")
    splits = bb.load_dataset("folder", images)
    assert [len(splits[name]) for name in SPLITS] == [64, 8, 8, 10]
    (images / "test").mkdir()
    Image.new("RGB", (8, 6)).save(images / "test" / "unlabelled.png")
    assert np.array_equal(bb.load_dataset("folder", images).test.images, splits.test.images)


@pytest.fixture
def tiny(tmp_path):
    """Tiny-ImageNet's layout: images a folder deeper, and the test images' classes in a table."""
    root = tmp_path / "tiny-imagenet-200"
    for name in ("n01", "n02"):
        tree(root / "train" / name, classes=("images",), counts=(20,), seed=int(name[1:]))
        (root / "train" / name / f"{name}_boxes.txt").write_text("0 0 62 62")
    tree(root / "val", classes=("images",), counts=(6,), seed=5)
    lines = [f"{i:03}.png\t{'n01' if i % 3 else 'n02'}\t0\t0\t62\t62" for i in (3, 1, 2, 0, 4, 5)]
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    tree(root / "test", classes=("images",), counts=(4,), seed=6)
    (root / "words.txt").write_text("n01\tgoldfish, Carassius auratus\nn02\ttailed frog\nn03\tcat\n")
    return root


def test_tiny_imagenets_layout_is_read(tiny):
    splits = bb.load_dataset("folder", tiny)
    assert [len(splits[name]) for name in SPLITS] == [32, 4, 4, 6]
    assert splits.test.class_names == ("goldfish", "tailed frog")
    assert splits.test.labels.tolist() == [0, 0, 0, 0, 1, 1]
    for row, name in enumerate(("001", "002", "004", "005", "000", "003")):
        pixels = np.asarray(Image.open(tiny / "val" / "images" / f"{name}.png")).transpose(2, 0, 1)
        assert np.array_equal(splits.test.images[row], pixels)
    assert np.bincount(splits.policy.labels).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("000.png\tn09\t0\t0\t1\t1", r"a class of train in line 1 of .*val_annotations.txt, got '000.png"),
        ("", r"an image and a class of train in line 1 of"),
        ("900.png\tn01\t0\t0\t1\t1", r"line 1 of .* names, found none at .*900.png"),
        ("000.png\tn01\t0\t0\t1\t1", r"images of class 'n02' in .*val_annotations.txt, found none"),
    ],
)
def test_errors_in_a_table_of_classes_are_named(tiny, line, message):
    (tiny / "val" / "val_annotations.txt").write_text(line + "\n")
    with pytest.raises(bb.InputError, match=message):
        bb.load_dataset("folder", tiny)


def test_rows_of_a_large_cache_stay_in_the_file_and_read_the_same(images, monkeypatch):
    from backbones import deferred_rows

    copied = bb.load_dataset("folder", images)
    monkeypatch.setattr(deferred_rows, "COPIED", 0)
    viewed = bb.load_dataset("folder", images)
    for name in SPLITS:
        one, other = copied[name], viewed[name]
        assert isinstance(other.images, deferred_rows.RowView)
        assert (other.images.shape, other.images.dtype, other.images.ndim) == (one.images.shape, np.uint8, 4)
        assert np.array_equal(other.images, one.images)
        assert np.array_equal(other.images[[3, 0]], one.images[[3, 0]])
        assert np.array_equal(other.images[2], one.images[2])
        assert np.array_equal(other.select(slice(1, 5)).images, one.images[1:5])
    network = bb.build("small", num_classes=2, timesteps=2, input_shape=(3, 6, 8), width=4)
    keys = np.zeros(8, np.int64)
    results = [
        np.concatenate([x for _, x in run(network, s.policy.images, keys, batch_size=3)]) for s in (copied, viewed)
    ]
    assert np.array_equal(*results)


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
    with pytest.raises(bb.InputError, match=r"classes of train in test too, got 3 in .* and 2 in .*: 'fish' is in one"):
        bb.load_dataset("folder", images)


@pytest.mark.parametrize("content", [b"no image", b""])
def test_an_unreadable_image_is_named_and_no_cache_is_written(images, content):
    bad = images / "train" / "cat" / "017.png"
    bad.write_bytes(content)
    with pytest.raises(bb.InputError, match=r"017.png cannot be read"):
        bb.load_dataset("folder", images)
    assert not (images / ".seenn-cache").exists()


def test_a_truncated_image_is_named(images):
    bad = images / "train" / "cat" / "017.png"
    bad.write_bytes(bad.read_bytes()[:-60])
    with pytest.raises(bb.InputError, match=r"017.png cannot be read"):
        bb.load_dataset("folder", images)


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(bb.InputError, match=r"enough for four splits in .*, got 4: none for"):
        bb.load_dataset("folder", tree(tmp_path / "pets", counts=(2, 2)))


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "valid"),
        ("train", "validation"),
        ("training", "testing"),
        ("Train", "Test"),
        ("seg_train", "seg_test"),
        ("training_set", "test_set"),
        ("trainset", "testset"),
        ("train2017", "val2017"),
        ("train_data", "dev"),
    ],
)
def test_parts_by_other_names_are_parts(images, tmp_path, train, test):
    expected = bb.load_dataset("folder", images, cache_dir=tmp_path / "cache")
    (images / "train").rename(images / "t")
    (images / "test").rename(images / test)
    (images / "t").rename(images / train)
    found = bb.load_dataset("folder", images, cache_dir=tmp_path / "cache")
    for split in SPLITS:
        assert np.array_equal(found[split].images, expected[split].images)
        assert np.array_equal(found[split].labels, expected[split].labels)
    assert found.train.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    "parts",
    [("train", "extra"), ("test", "valid"), ("train", "training", "test"), ("Train", "unlabelled"), ("fold1", "fold2")],
)
def test_parts_that_are_not_known_are_not_taken_for_classes(tmp_path, parts):
    for part in parts:
        tree(tmp_path / "pets" / part)
    with pytest.raises(bb.InputError, match="part"):
        bb.load_dataset("folder", tmp_path / "pets")


def test_a_class_may_be_called_train(tmp_path):
    root = tree(tmp_path / "vehicles", classes=("bus", "train"))
    assert bb.load_dataset("folder", root).train.class_names == ("bus", "train")
    deep = tmp_path / "deep"
    for name in ("bus", "train"):
        tree(deep / name, classes=("images",), counts=(30,))
    assert bb.load_dataset("folder", deep).train.class_names == ("bus", "train")


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_files_are_read_alike_by_a_dataset_and_by_classify(tmp_path, suffix, channels):
    rng, root = np.random.default_rng(0), tmp_path / "images"
    kinds = {
        "L": rng.integers(256, size=(6, 8), dtype=np.uint8),
        "I;16": rng.integers(1 << 16, size=(6, 8), dtype=np.uint16),
        "LA": rng.integers(256, size=(6, 8, 2), dtype=np.uint8),
        **({} if channels == 1 else {"RGB": rng.integers(256, size=(6, 8, 3), dtype=np.uint8)}),
        **({} if channels == 1 else {"RGBA": rng.integers(256, size=(6, 8, 4), dtype=np.uint8)}),
    }
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        for i in range(20):
            name, pixels = list(kinds.items())[i % len(kinds)]
            Image.fromarray(pixels).save(root / label / f"{i:02}.{suffix}")
            with Image.open(root / label / f"{i:02}.{suffix}") as image:
                assert image.mode == name
    for size in (None, 4):
        splits = bb.load_dataset("folder", root, image_size=size)
        images = np.concatenate([splits[name].images for name in SPLITS])
        images = images[np.argsort(np.concatenate([splits[name].index for name in SPLITS]))]
        items = list(read_items(root, images.shape[1:], resize=size is not None))
        assert [item.problem for item in items] == [None] * 40
        assert np.array_equal(np.stack([item.image for item in items]), images)
        assert images.shape[1] == channels
        if size is None:
            assert np.array_equal(images[1, 0], kinds["I;16"] >> 8)


@pytest.mark.parametrize(("dtype", "kind"), [(np.float32, "floats"), (np.int32, "32-bit integers")])
def test_pixels_whose_white_is_not_known_are_refused(images, dtype, kind):
    Image.fromarray(np.linspace(0, 1, 48).reshape(6, 8).astype(dtype)).save(images / "train" / "cat" / "017.tif")
    (item,) = read_items(images / "train" / "cat" / "017.tif", (1, 6, 8))
    assert item.image is None
    assert kind in item.problem
    with pytest.raises(bb.InputError, match=f"017.tif cannot be read .its pixels are {kind}"):
        bb.load_dataset("folder", images)
