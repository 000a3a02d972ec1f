r"""Outputs of commands: complete or resumable, never over anything else; an old result stays until the new is complete.

output = open_folder(self.output, self, self.overwrite, makes=r"table\.txt")
(output.work / "table.txt").write_text(…)
output.close()
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from agents.commands.unused_options import refuse_unused
from backbones import InputError
from backbones.atomic import (
    cannot_write,
    check_file_name,
    new_folder,
    remove_empty,
    remove_leftovers,
    sole_writer,
    sync_folder,
    temporary_name,
    write_atomic,
)
from backbones.data import SUFFIXES, folders_of_classes
from backbones.hashing import hash_file

SETTINGS, COMPLETE, NEW = "settings.json", "complete", ".new"
STATE = "training.pt"
"""State of a run in a result that is not complete."""

EVENTS = r"events\.out\.tfevents\..+"
"""Names of TensorBoard's files."""


@dataclass(frozen=True)
class ResultFolder:
    """A folder for the result of a command."""

    final: Path
    """Place of the result."""
    work: Path
    """Folder to write to: `final`, or a folder in it that holds a new result until it replaces the old."""
    makes: str
    """Regular expression of the paths of the command's files in the folder; other files stay unchanged."""

    def close(self) -> None:
        """Mark the result as complete, and replace the old result with it, file by file.

        The mark has the digests of the files: `sha256sum --check complete`.
        """
        made = sorted(self._made(self.work) - {STATE})
        lines = (f"{hash_file(self.work / name)}  {name}\n" for name in made)
        write_atomic(self.work / COMPLETE, "".join(lines))
        self._remove_state()
        if self.work != self.final:
            self._replace()

    def discard_without(self, file: str) -> None:
        """Delete the result unless it has that file: refused settings must not block later ones."""
        if not (self.work / file).exists():
            self._clear()

    def _made(self, folder: Path) -> set[str]:
        """Paths of the command's files in the folder."""
        paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return {path for path in paths if re.fullmatch(self.makes, path)}

    def _listed(self, folder: Path) -> set[str]:
        """Paths of the command's files that a folder's mark lists."""
        lines = (folder / COMPLETE).read_text(errors="replace").splitlines()
        return {name for line in lines if re.fullmatch(self.makes, name := line[66:]) and ".." not in name.split("/")}

    def _replace(self) -> None:
        """Move the new files into place; resumable, because the list of the files moves last."""
        new = self._listed(self.work)
        for name in (*new, SETTINGS):
            if (self.work / name).exists():
                with new_folder((self.final / name).parent):
                    (self.work / name).replace(self.final / name)
                sync_folder((self.final / name).parent)
        old = self._listed(self.final) if (self.final / COMPLETE).exists() else self._made(self.final)
        gone = [self.final / name for name in old - new]  # a file that the old list has not is the user's
        for file in gone:
            file.unlink(missing_ok=True)
        for folder in {file.parent for file in gone}:
            sync_folder(folder)  # before the list moves: later ones could not tell that these were the command's
        (self.work / COMPLETE).replace(self.final / COMPLETE)
        sync_folder(self.final)
        self._clear()

    def _remove_state(self) -> None:
        if re.fullmatch(self.makes, STATE):
            (self.work / STATE).unlink(missing_ok=True)

    def _remove_leftovers(self) -> None:
        """Delete temporary files of the command's own that a killed process left."""
        for path in self.work.rglob(".*.tmp"):
            target = path.with_name(path.name[1:-13])
            if re.fullmatch(self.makes, target.relative_to(self.work).as_posix()):
                remove_leftovers(target)

    def _clear(self) -> None:
        """Delete the command's files in `work`, and folders that are then empty; the settings last, which own them."""
        files = [self.work / name for name in (COMPLETE, *sorted(self._made(self.work)))]
        for file in files:
            file.unlink(missing_ok=True)
        remove_empty(sorted(self.work.rglob("*"), reverse=True))
        for folder in {file.parent for file in files}:
            sync_folder(folder)
        (self.work / SETTINGS).unlink(missing_ok=True)
        remove_empty((self.work, self.final))


def open_folder(folder: Path, command: Any, overwrite: bool, *, makes: str, is_first: bool = True) -> ResultFolder:
    """The folder for a command's result, new or with a partial result of the same settings.

    With `overwrite`, a complete result, or one of other settings, stays until the new one is complete.

    Args:
        folder: place of the result.
        command: dataclass of the settings.
        overwrite: replace a result of the same command.
        makes: see `ResultFolder.makes`.
        is_first: this process makes the folder; any other calls this before the first does, and makes nothing.

    Raises:
        InputError: for a folder that holds something else, holds an input of the command or cannot be written to; or
            that holds a complete result, or one of other settings, without `overwrite`.
    """
    ignored = {"output", "overwrite"}
    settings = {"command": type(command).__name__}
    settings |= {name: value for name, value in asdict(command).items() if name not in ignored}
    wanted = json.dumps(settings, indent=1, default=str, sort_keys=True)
    _check_folder(folder)
    _refuse_as_class(folder, command)
    for path in folder.rglob("*"):
        if path.is_symlink() and path.is_dir():
            raise InputError(f"Expected a folder without links to other folders to write to, got {path}: move it away.")
    output = ResultFolder(folder, folder, makes)
    new = ResultFolder(folder, folder / NEW, makes)
    if is_first:
        for name in (SETTINGS, COMPLETE):
            remove_leftovers(output.work / name)
            remove_leftovers(new.work / name)
    if is_first and (new.work / COMPLETE).exists():  # killed while it replaced the old result
        new._replace()
    file = folder / SETTINGS
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not file.is_file():
            raise InputError(f"{folder} holds something that is not a result of this program: choose another output.")
        if is_first:
            output._remove_leftovers()
        complete, same = (folder / COMPLETE).exists(), file.read_bytes() == wanted.encode()
        if complete and is_first:
            output._remove_state()  # killed after it was complete
        if complete and not overwrite:
            raise InputError(f"{folder} holds a complete result: choose another output, or pass --overwrite.")
        if not same and not overwrite:
            raise InputError(f"{folder} holds a result of other settings: choose another output, or pass --overwrite.")
        if not same and (other := _command_of(file)) != type(command).__name__:
            raise InputError(f"{folder} holds a result of another command ({spelt(other)}): choose another output.")
        made = [(folder / name).stat() for name in output._made(folder)]
        for path in inputs_of(command):
            if any(os.path.samestat(path.stat(), each) for each in made):
                raise InputError(f"{path} is an input of this command, which would replace it: choose another output.")
        if complete or not same:
            output = new
    if is_first:
        file = output.work / SETTINGS
        resumed = getattr(command, "resumes", False) and file.exists() and file.read_bytes() == wanted.encode()
        if not resumed and (file.exists() or output is new):
            output._clear()
        write_atomic(file, wanted)
    return output


def check_complete(folder: Path) -> None:
    """Raise an `InputError` for a file of a complete result that does not match its digest."""
    mark = folder / COMPLETE
    for line in mark.read_text().splitlines() if mark.is_file() else ():
        digest, name = line[:64], line[66:]
        if not (folder / name).is_file() or hash_file(folder / name) != digest:
            raise InputError(f"{folder / name} does not match its digest in {mark}: it was altered or deleted.")


def completion_of(command: Any) -> object:
    """The identity of the command's output file, or of the mark of a complete folder; None where there is none."""
    output = getattr(command, "output", None)
    if not isinstance(output, Path):
        return None
    try:
        status = (output / COMPLETE if output.is_dir() else output).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def sole_writer_of(command: Any) -> AbstractContextManager[None]:
    """No other process runs a command with this one's output inside the block; those of torchrun have one writer."""
    output = getattr(command, "output", None)
    if not isinstance(output, Path) or not output.name or os.environ.get("RANK", "0") != "0":
        return nullcontext()
    return sole_writer(output)


def check_file(path: Path | None, command: Any, *, unfinished: Path | None = None) -> None:
    """Check before the work that a file can be written and replaces no input.

    Args:
        path: the output; without one, `overwrite` is refused.
        command: its dataclass; an existing file is replaced if its `overwrite` is set.
        unfinished: folder of the command's work; while it is there, an existing file is this command's own.

    Raises:
        InputError: for a file that exists, without `overwrite`; a folder; an input of the command; or a place that
            cannot be written to.
    """
    if path is None:
        refuse_unused(command, ["overwrite"], "without an --output")
        return
    _check_place(path)
    if unfinished is not None:
        _refuse_as_class(unfinished, command)
    if path.is_dir():
        raise InputError(f"Expected a file as the output, got the folder {path}: add a name.")
    check_file_name(path)
    if not path.exists():
        return
    if not command.overwrite and not (unfinished is not None and unfinished.is_dir()):
        raise InputError(f"{path} exists already: choose another output, or pass --overwrite.")
    for source in inputs_of(command):
        inside = source.is_dir() and path.suffix.lower() in SUFFIXES and source.resolve() in path.resolve().parents
        if inside or path.samefile(source):
            raise InputError(f"{path} is an input of this command, which would replace it: choose another output.")


def check_log_dir(folder: Path, output: Path, run: str) -> None:
    """Raise an `InputError` for a folder for TensorBoard that cannot be written to, or would be where the output is.

    `run` is the name of its first run.
    """
    _check_folder(folder)
    log = folder.resolve()
    if output.resolve() in (log, *log.parents, log / "reference", log / run):
        raise InputError(f"Expected an output beside TensorBoard's folders, got {output}, which is one: rename it.")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"Expected a folder for TensorBoard, got the file {folder}: choose another.")


def _refuse_as_class(folder: Path, command: Any) -> None:
    """Raise an `InputError` for an output among the classes of a command's images: it would be the next."""
    images = command.data.data_dir if getattr(command, "dataset", None) == "folder" else None
    if images is not None and images.is_dir():
        for place in folders_of_classes(images):
            if place.resolve() in folder.resolve().parents:
                raise InputError(f"Expected an output outside of the images in {place}, got {folder}: choose another.")


def inputs_of(command: Any) -> Iterator[Path]:
    """The files and folders that a command's settings name, except its outputs."""

    def paths(value: Any) -> Iterator[str]:
        if isinstance(value, str | Path):
            yield str(value)
            yield str(value).partition("=")[2]  # NAME=FILE
        elif isinstance(value, dict):
            for name, part in value.items():
                if name not in ("output", "log_dir", "cache_dir"):
                    yield from paths(part)
        elif isinstance(value, list | tuple):
            for part in value:
                yield from paths(part)

    return (Path(path) for path in paths(asdict(command)) if path and os.path.exists(path))


def _check_folder(path: Path) -> None:
    """`_check_place`, and an `InputError` for a link to nothing, or a name in which TensorBoard cannot write."""
    _check_place(path)
    if path.is_symlink() and not path.exists():
        raise InputError(f"Expected a folder to write to, got the link to nothing {path}: choose another.")
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"Expected a folder with a name in UTF-8, got {str(path)!r}: choose another.") from error


def _check_place(path: Path) -> None:
    """Raise an `InputError` where no file can be written in `path`, or else in its nearest existing parent."""
    path = path.absolute()
    try:
        place = path if path.is_dir() else path.parent
        while not place.exists():
            place = place.parent
        within = place / (path.absolute().name or "output")
        remove_leftovers(within)
        temporary = temporary_name(within)
        try:
            temporary.touch(exist_ok=False)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(place)  # later checks are elsewhere, and would not find the file
    except OSError as error:
        raise cannot_write(path, error) from error


def spelt(command: str) -> str:
    """The name of a command by that of its class: "train-backbone" of "TrainBackbone"."""
    return re.sub(r"\B[A-Z]", r"-\g<0>", command).lower()


def _command_of(settings: Path) -> str:
    try:
        return str(json.loads(settings.read_bytes())["command"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "unknown"


def on_terminal() -> bool:
    """Whether standard error is a terminal, which shows progress bars."""
    return sys.stderr.isatty()


def print_json(facts: Any) -> None:
    """Print one JSON object on standard output."""
    print(
        json.dumps(facts, indent=1, default=lambda value: value.item() if isinstance(value, np.generic) else str(value))
    )


def progress_bar(description: str) -> tuple[tqdm, Callable[[float], None]]:
    """A progress bar and a function that moves it to the fraction done."""
    bar = tqdm(total=100, desc=description, unit="%", disable=not on_terminal())

    def move(done: float) -> None:
        bar.update(int(100 * done) - bar.n)

    return bar, move
