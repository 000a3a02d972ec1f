r"""Where commands put their results: never over another's, never half, and the old stands until the new does.

output = open_folder(self.output, self, self.overwrite, makes=r"table\.txt")
(output.work / "table.txt").write_text(…)
output.close()
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from backbones import InputError
from backbones.data import SUFFIXES

_SETTINGS, _COMPLETE, _NEW = "settings.json", "complete", ".new"

EVENTS = r"events\.out\.tfevents\..+"
"""TensorBoard's files."""


@dataclass(frozen=True)
class ResultFolder:
    """A folder that a command writes its result to."""

    final: Path
    """Where the result belongs."""
    work: Path
    """Where the command writes: `final`, or a folder in it until the new result can take the old one's place."""
    makes: str
    """The files that the command makes, as a regular expression of their paths in the folder; others stay as they
    are."""

    def close(self) -> None:
        """Mark the result as complete; one that replaces another takes its place, file by file."""
        (self.work / _COMPLETE).write_text("\n".join(sorted(self._made(self.work))))
        if self.work != self.final:
            self._replace()

    def give_up(self, kept: str) -> None:
        """Remove a result that did not begin: settings that are refused should not stand in the way of others.

        Args:
            kept: a file that shows that there is part of a result, which then stays.
        """
        if not (self.work / kept).exists():
            self._clear()

    def _made(self, folder: Path) -> set[str]:
        """Paths in the folder of what the command makes."""
        paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        return {path for path in paths if re.fullmatch(self.makes, path)}

    def _replace(self) -> None:
        """Called again after it was cut off, it goes on: the list of the new files is the last to move."""
        new = set((self.work / _COMPLETE).read_text().split("\n")) - {""}
        for name in (*new, _SETTINGS):
            if (self.work / name).exists():
                (self.final / name).parent.mkdir(parents=True, exist_ok=True)
                (self.work / name).replace(self.final / name)
        for name in self._made(self.final) - new:
            (self.final / name).unlink()
        (self.work / _COMPLETE).replace(self.final / _COMPLETE)
        self._clear()

    def _clear(self) -> None:
        """Delete what the command made in `work`, and folders that are empty then."""
        for name in (*self._made(self.work), _SETTINGS, _COMPLETE):
            (self.work / name).unlink(missing_ok=True)
        folders = [path for path in self.work.rglob("*") if path.is_dir()]
        for folder in (*sorted(folders, reverse=True), self.work, self.final):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def open_folder(folder: Path, command: Any, overwrite: bool, *, makes: str, leads: bool = True) -> ResultFolder:
    """A folder for the results of a command's dataclass.

    A folder with part of a result of the same settings is continued. With `overwrite`, a complete result, or one
    of other settings, stays until the new one is complete; then it is replaced, file by file.

    Args:
        folder: where the result belongs.
        command: whose settings these are.
        overwrite: replace a result of the same command.
        makes: see `ResultFolder.makes`.
        leads: this process makes the folder; another one only finds out which it is, before that.

    Raises:
        InputError: for a folder that holds something else, is an input of the command or cannot be written to; or
            that holds a complete result, or one of other settings, without `overwrite`.
    """
    ignored = {"output", "overwrite"}
    settings = {"command": type(command).__name__}
    settings |= {name: value for name, value in asdict(command).items() if name not in ignored}
    wanted = json.dumps(settings, indent=1, default=str, sort_keys=True)
    _check_place(folder)
    output = ResultFolder(folder, folder, makes)
    new = ResultFolder(folder, folder / _NEW, makes)
    if leads and (new.work / _COMPLETE).exists():  # cut off while it took the old one's place
        new._replace()
    file = folder / _SETTINGS
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not file.is_file():
            raise InputError(f"{folder} holds something that is not a result of this program: choose another output.")
        complete, same = (folder / _COMPLETE).exists(), file.read_text() == wanted
        if complete and not overwrite:
            raise InputError(f"{folder} holds a complete result: choose another output, or pass --overwrite.")
        if not same and not overwrite:
            raise InputError(f"{folder} holds a result of other settings: choose another output, or pass --overwrite.")
        if not same and (other := _command_of(file)) != type(command).__name__:
            raise InputError(f"{folder} holds a result of another command ({other}): choose another output.")
        for given in inputs_of(command):
            if os.path.realpath(given) in {os.path.realpath(folder / name) for name in output._made(folder)}:
                raise InputError(f"{given} is an input of this command, which would replace it: choose another output.")
        if complete or not same:
            output = new
    if leads:
        file = output.work / _SETTINGS
        if file.exists() and file.read_text() != wanted:
            output._clear()
        output.work.mkdir(parents=True, exist_ok=True)
        file.write_text(wanted)
    return output


def check_file(path: Path, command: Any) -> Path:
    """Refuse a file that must not be written, or cannot be, before there is anything to write.

    Args:
        path: the output.
        command: whose output it is: its inputs stay, and its `overwrite` says whether another file may go.

    Raises:
        InputError: for a file that exists, without `overwrite`; a folder; an input of the command; or a place that
            cannot be written to.
    """
    _check_place(path)
    if path.is_dir():
        raise InputError(f"Expected a file as the output, got the folder {path}: add a name.")
    if not path.exists():
        return path
    if not command.overwrite:
        raise InputError(f"{path} exists already: choose another output, or pass --overwrite.")
    for given in inputs_of(command):
        inside = given.is_dir() and path.suffix.lower() in SUFFIXES and given.resolve() in path.resolve().parents
        if inside or path.samefile(given):
            raise InputError(f"{path} is an input of this command, which would replace it: choose another output.")
    return path


def check_log_dir(folder: Path) -> None:
    """Refuse a folder for TensorBoard that cannot be written to.

    Raises:
        InputError: naming it.
    """
    _check_place(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"Expected a folder for TensorBoard, got the file {folder}: choose another.")


def inputs_of(command: Any) -> Iterator[Path]:
    """The files and folders that a command's settings name, its outputs left out."""

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


def _check_place(path: Path) -> None:
    """Try to write a file beside `path` and in it, or in the nearest folder that is there.

    Raises:
        InputError: where that fails.
    """
    try:
        place = path if path.is_dir() else path.absolute().parent
        while not place.exists():
            place = place.parent
        with tempfile.NamedTemporaryFile(dir=place, prefix=f".{path.name}.", suffix=".tmp"):
            pass
    except OSError as error:
        raise InputError(
            f"Expected an output that can be written, got {path} ({error.strerror}): choose another."
        ) from error


def _command_of(settings: Path) -> str:
    try:
        return str(json.loads(settings.read_text())["command"])
    except (ValueError, KeyError, TypeError):
        return "unknown"


def on_terminal() -> bool:
    """Whether progress bars are wanted: on a terminal, not in a pipe."""
    return sys.stderr.isatty()


def step_bar(description: str, total: int) -> tuple[tqdm, Callable[[int], None]]:
    """A progress bar and the function that moves it to a number of steps."""
    bar = tqdm(total=total, desc=description, unit="step", unit_scale=True, disable=not on_terminal())

    def move(done: int) -> None:
        bar.update(min(done, total) - bar.n)

    return bar, move
