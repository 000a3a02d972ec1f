"""Atomic writing of files: a file takes its name when it is whole and on the disk."""

import glob
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from backbones.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and leftovers stay
    fcntl = None  # type: ignore[assignment]


@contextmanager
def open_atomic(path: str | Path, *, text: bool = False) -> Iterator[IO[Any]]:
    """A file of bytes (or text, its line ends untouched) that takes its name at the end of the block.

    Folders are made by `new_folder`. After an exception in the block, the old file stays. Leftovers of killed writers
    are deleted.

    Raises:
        InputError: for the path of something that is no file.
        OSError: with the path, where it cannot be written.
    """
    path = Path(path)
    check_file_name(path)
    remove_leftovers(path)
    temporary = temporary_name(path)
    how: dict[str, Any] = {"mode": "x", "encoding": "utf-8", "newline": ""} if text else {"mode": "xb"}
    try:
        with new_folder(path.parent):
            try:
                with temporary.open(**how) as file:
                    lock(file.fileno())  # while it is held, the file is no leftover
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                    temporary.replace(path)
            finally:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        if error.filename is None and not isinstance(error, BrokenPipeError):
            error.filename = str(path)
        raise


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Make a folder by `make_folder`; after an exception in the block, those made that are empty are deleted."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        make_folder(folder)
        yield
    except BaseException:
        remove_empty(made)
        raise


def remove_empty(folders: Iterable[Path]) -> None:
    """Delete those of the folders that are there and empty, in their order."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def write_atomic(path: str | Path, content: str | bytes) -> None:
    """Write a whole file at once by `open_atomic`."""
    with open_atomic(path, text=isinstance(content, str)) as file:
        file.write(content)


def check_file_name(path: Path) -> None:
    """Raise an `InputError` for the path of a folder, a device, a pipe or a link to nothing."""
    if os.path.isdir(path):
        raise InputError(f"Expected the name of a file to write, got a folder, {path}.")
    if os.path.lexists(path) and not os.path.isfile(path):
        raise InputError(f"Expected the name of a file to write, got a link to nothing, a pipe or a device, {path}.")


def check_own_folder(path: Path) -> None:
    """Raise an `InputError` for a link or a file in the place of a folder whose files are deleted after the work."""
    if os.path.islink(path) or (os.path.exists(path) and not os.path.isdir(path)):
        raise InputError(
            f"Expected a folder of this program's, or none, at {path}, got a link or a file: move it away."
        )


def temporary_name(path: Path) -> Path:
    """An unpredictable name in the folder of `path`, which `remove_leftovers` finds."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def remove_leftovers(path: Path) -> None:
    """Delete the temporary files of processes that were killed while they wrote `path`."""
    for file in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 8}.tmp"):
        with suppress(OSError):
            descriptor = os.open(file, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                lock(descriptor)
                file.unlink()
            finally:
                os.close(descriptor)


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Inside the block, no other process gets here with this path, of a file or folder; the parents are made.

    Raises:
        InputError: where another process is in the block, or nothing can be written in the parent folder.
    """
    path = path.resolve() if os.path.isdir(path) else path.absolute()
    made = [folder for folder in path.parents if not folder.exists()]
    mark, held = path.parent / f".{path.name}.lock", False
    try:
        try:
            make_folder(path.parent)
            descriptor = os.open(mark, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            if os.path.isdir(path):  # a folder whose own parent is not ours
                yield
                return
            raise cannot_write(path, error) from error
        try:
            try:
                lock(descriptor)
                held = mark.exists() and os.path.samestat(os.fstat(descriptor), mark.stat())  # its holder deletes it
            except BlockingIOError:
                pass
            if not held:
                raise InputError(f"Another process is writing {path}: wait for its end, or choose another output.")
            yield
        finally:
            if held and os.fstat(descriptor).st_size == 0:  # else it is a file of the user's
                mark.unlink(missing_ok=True)
            os.close(descriptor)
    finally:
        remove_empty(made)


def cannot_write(path: Path, error: OSError) -> InputError:
    """The error for an output that cannot be written."""
    return InputError(f"Expected an output that can be written, got {path} ({error.strerror}): choose another.")


def reserve(file: IO[bytes], size: int) -> None:
    """Give an open file `size` bytes of the disk now: a mapped file that grew without them dies without a word."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, max(1, size))
        file.truncate(size)
    except OSError as error:
        error.filename = error.filename or str(file.name)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, and bring their names to the disk."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where its file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lock(descriptor: int) -> None:
    """Lock an open file until it is closed; a `BlockingIOError` where another process has."""
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            pass
