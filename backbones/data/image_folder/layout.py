"""Layouts of image folders: files, classes and test images.

    root/train/CLASS/*.jpg  and  root/test/CLASS/*.jpg        with test images
    root/train/CLASS/*.jpg  and  root/val/CLASS/*.jpg         ImageNet: val has the test images
    root/train/CLASS/images/*.JPEG  and  root/val/images/*.JPEG, root/val/val_annotations.txt     Tiny-ImageNet
    root/CLASS/*.jpg                                          without test images

Parts may have other names: Train, training_set, seg_train, valid, testing, … Images may be in sub-folders of their
class's folder. Letters: N images.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbones.errors import InputError, printable

PARTS = {
    "train": {"train", "training", "trn"},
    "test": {"test", "testing", "tst"},
    "val": {"val", "valid", "validation", "dev", "eval", "evaluation"},
}
"""Words for the parts of a tree in names of folders."""
_OTHER_PARTS = {"extra", "fold", "folds", "holdout", "part", "partition", "split", "subset", "unlabeled", "unlabelled"}
"""Words for parts that are not read."""
_BESIDE = {"", "data", "dataset", "images", "imgs", "seg", "set", "split"}
"""Words that may be in a folder's name beside a part's."""
SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
ANNOTATIONS = "val_annotations.txt"


@dataclass(frozen=True)
class Tree:
    """The images of a folder, training images before test images, each sorted by class and name."""

    files: list[Path]
    labels: np.ndarray
    """`[N]` int64."""
    class_names: tuple[str, ...]
    test: np.ndarray | None
    """Places of the test images; None without any."""


def read_tree(root: Path) -> Tree:
    """The images of a folder in one of the layouts above; an `InputError` for any other, or classes without images."""
    if not os.path.isdir(root):
        raise InputError(f"Expected a folder of images, found none at {root}.")
    folders = _parts_of(root)
    parts = [folders[part] for part in ("test", "val") if part in folders]
    if "train" not in folders or not parts:
        _refuse_parts(root, folders)
        return Tree(*list_images(root), test=None)
    train = folders["train"]
    files, labels, names = list_images(root / train)
    if "val" in folders and (root / folders["val"] / ANNOTATIONS).is_file():
        files_of_test, labels_of_test = list_annotated(root / folders["val"], names)
        names = words(root / "words.txt", names)
    else:
        # A test folder without classes is that of an image set whose test labels are not published.
        tested = next((part for part in parts if len(_folders(root / part)) > 1), parts[0])
        files_of_test, labels_of_test, others = list_images(root / tested)
        if others != names:
            odd = sorted(set(names) ^ set(others))
            raise InputError(
                f"Expected the classes of {train} in {tested} too, got {len(names)} in {root / train} and "
                f"{len(others)} in {root / tested}: {odd[0]!r} is in one of them only."
            )
    test = np.arange(len(files), len(files) + len(files_of_test))
    return Tree(files + files_of_test, np.concatenate([labels, labels_of_test]), names, test)


def folders_of_classes(root: Path) -> list[Path]:
    """The folders whose sub-folders are classes: the root, or its parts."""
    parts = _parts_of(root)
    return [root / name for name in parts.values()] if "train" in parts and len(parts) > 1 else [root]


def _part_of(name: str) -> str | None:
    """The part that a folder's name means, if any."""
    words = re.split(r"[^a-z]+", name.lower())
    words = [word.removesuffix("set") if word != "set" else word for word in words]
    parts = [part for part, known in PARTS.items() if not known.isdisjoint(words)]
    return parts[0] if len(parts) == 1 and set(words) <= PARTS[parts[0]] | _BESIDE else None


def _parts_of(root: Path) -> dict[str, str]:
    """`{part: name}` of the folders of parts; an `InputError` for two of one part."""
    named = [(part, path.name) for path in _folders(root) if (part := _part_of(path.name))]
    parts = dict(reversed(named))
    if len(parts) > 1 and len(named) > len(parts):
        raise InputError(
            f"Expected one folder of each part (train, test, val) in {root}, got "
            f"{', '.join(name for _, name in named)}: move the others away."
        )
    return parts


def _refuse_parts(root: Path, parts: dict[str, str]) -> None:
    """Raise an `InputError` for folders of parts in the place of classes: they share classes with another folder."""
    inside = {path.name: {each.name for each in path.iterdir() if each.is_dir()} for path in _folders(root)}
    others = [name for name in inside if not _OTHER_PARTS.isdisjoint(re.split(r"[^a-z]+", name.lower()))]
    for part in (*parts.values(), *others):
        for name, classes in inside.items():
            if name != part and (len(classes & inside[part]) > 1 or name in parts.values()):
                raise InputError(
                    f"Expected a folder for each class in {root}, or train beside test or val, got {part} and {name}, "
                    "which seem to be parts of the images, not classes: name them train and test."
                )


def list_images(root: Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """The images of a class-per-folder tree: files sorted by class and name, labels `[N]`, class names."""
    files: list[Path] = []
    labels: list[int] = []
    folders = _folders(root)
    if len(folders) < 2:
        raise InputError(f"Expected a folder for each class (two at least) in {root}, got {len(folders)}.")
    for label, folder in enumerate(folders):
        images = images_below(folder)
        if not images:
            raise InputError(f"Expected images of class {folder.name!r}, found none in {folder}.")
        files += images
        labels += [label] * len(images)
    return files, np.array(labels, np.int64), tuple(printable(folder.name) for folder in folders)


def images_below(folder: Path) -> list[Path]:
    """The image files in a folder and its sub-folders, by name."""
    try:
        return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    except RecursionError as error:
        raise InputError(f"Expected folders of images, got hundreds in one another in {folder}: move them.") from error


def list_annotated(folder: Path, class_names: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    """Files and labels `[N]` of Tiny-ImageNet's `val`: lines of name, class and a box, separated by tabs."""
    table, codes = folder / ANNOTATIONS, {name: label for label, name in enumerate(class_names)}
    rows: list[tuple[int, Path]] = []
    for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), 1):
        name, kind, *_ = [*line.split("\t"), ""]
        file = folder / "images" / name
        if kind not in codes:
            raise InputError(f"Expected an image and a class of train in line {number} of {table}, got {line!r}.")
        if not file.is_file():
            raise InputError(f"Expected the image that line {number} of {table} names, found none at {file}.")
        rows.append((codes[kind], file))
    rows.sort(key=lambda row: (row[0], row[1].name))
    labels = np.array([label for label, _ in rows], np.int64)
    if (counts := np.bincount(labels, minlength=len(class_names))).min() == 0:
        raise InputError(f"Expected images of class {class_names[int(counts.argmin())]!r} in {table}, found none.")
    return [file for _, file in rows], labels


def words(file: Path, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Class names: the first of each class's words in ImageNet's `words.txt`, if it exists."""
    if not file.is_file():
        return class_names
    table = dict(line.split("\t", 1) for line in file.read_text(encoding="utf-8").splitlines() if "\t" in line)
    return tuple(printable(table.get(name, name).split(",")[0].strip()) for name in class_names)


def _folders(root: Path) -> list[Path]:
    """Sub-folders by name, without hidden ones."""
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
