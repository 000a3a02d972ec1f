"""Atomic writing of files: a file takes its name when it is whole."""

import glob
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from backbones.errors import InputError


@contextmanager
def open_atomic(path: str | Path, *, text: bool = False) -> Iterator[IO[Any]]:
    """A file of bytes (or text, its line ends untouched) that takes its name at the end of the block.

    Folders are made. After an exception in the block, the old file stays.

    Raises:
        InputError: for the path of a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"Expected the name of a file to write, got a folder, {path}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open(
            "x" if text else "xb", newline="" if text else None, encoding="utf-8" if text else None
        ) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: str | Path, content: str | bytes) -> None:
    """Write a whole file at once by `open_atomic`."""
    with open_atomic(path, text=isinstance(content, str)) as file:
        file.write(content)


def remove_with_leftovers(path: Path) -> None:
    """Delete a file and the temporary ones of processes that were killed while writing it."""
    for file in (path, *path.parent.glob(f".{glob.escape(path.name)}.????????.tmp")):
        file.unlink(missing_ok=True)
