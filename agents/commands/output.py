"""Where commands put their results: never over another's, never half."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from backbones import InputError

_SETTINGS, _COMPLETE = "settings.json", "complete"


def open_folder(folder: Path, command: Any, overwrite: bool) -> Path:
    """Make `folder` ready for the results of a command's dataclass.

    A folder with part of a result of the same settings is continued; with a complete one it is emptied if
    `overwrite`, and so is one with other settings.

    Raises:
        InputError: for a folder that holds something else, or a complete result without `overwrite`.
    """
    ignored = {"output", "overwrite"}
    settings = {"command": type(command).__name__}
    settings |= {name: value for name, value in asdict(command).items() if name not in ignored}
    wanted = json.dumps(settings, indent=1, default=str, sort_keys=True)
    file = folder / _SETTINGS
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not file.is_file():
            raise InputError(f"{folder} holds something that is not a result of this program: choose another output.")
        if (folder / _COMPLETE).exists() and not overwrite:
            raise InputError(f"{folder} holds a complete result: choose another output, or pass --overwrite.")
        if file.read_text() != wanted and not overwrite:
            raise InputError(f"{folder} holds a result of other settings: choose another output, or pass --overwrite.")
        if (folder / _COMPLETE).exists() or file.read_text() != wanted:
            shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(wanted)
    return folder


def give_up_folder(folder: Path, kept: Path) -> None:
    """Remove a folder that was opened for nothing: settings that are refused should not stand in the way of others.

    Args:
        folder: what `open_folder` gave.
        kept: a file that shows that there is part of a result, and the folder stays.
    """
    if not kept.exists():
        shutil.rmtree(folder)


def close_folder(folder: Path) -> None:
    """Mark the folder's result as complete."""
    (folder / _COMPLETE).touch()


def check_file(path: Path, overwrite: bool) -> Path:
    """Refuse to write over a file.

    Raises:
        InputError: for a file that exists, without `overwrite`.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists already: choose another output, or pass --overwrite.")
    return path


def on_terminal() -> bool:
    """Whether progress bars are wanted: on a terminal, not in a pipe."""
    return sys.stderr.isatty()


def step_bar(description: str, total: int) -> tuple[tqdm, Callable[[int], None]]:
    """A progress bar and the function that moves it to a number of steps."""
    bar = tqdm(total=total, desc=description, unit="step", unit_scale=True, disable=not on_terminal())

    def move(done: int) -> None:
        bar.update(min(done, total) - bar.n)

    return bar, move
