"""An unfinished recording: a folder of mapped files that several processes of one machine write.

partial = PartialRecording.open(folder, settings, shapes, dtypes, batch_size=256, group=group)
partial.fields["logits"][rows] = …; partial.note(3); partial.keep()      # batch 3 is done

Letters: N rows.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backbones import InputError
from backbones.array_files import raw_bytes
from backbones.atomic import new_folder, remove_leftovers, reserve, sync_folder, write_atomic
from backbones.machine import ProcessGroup
from seenn_env.traces.fields import ROW_FIELDS

_SETTINGS, _SUFFIX, DIGEST_BYTES = "settings.json", ".rows", 32


class PartialRecording:
    """Fields `[N, …]` by name, and a digest for each batch of rows that is done.

    Each process writes rows and digests of its own. A batch that does not match its digest, because the machine
    stopped or the file was altered, is not done.
    """

    def __init__(
        self, folder: Path | None, fields: dict[str, np.ndarray], digests: np.ndarray, batch_size: int, name: str
    ) -> None:
        self.folder, self.fields, self._digests = folder, fields, digests
        self._batch_size, self._name = batch_size, name
        self._noted: list[int] = []

    @classmethod
    def in_memory(
        cls, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, Any], *, batch_size: int
    ) -> "PartialRecording":
        """Fresh fields without a folder."""
        fields = {name: np.empty(shape, dtypes[name]) for name, shape in shapes.items()}
        return cls(None, fields, np.zeros((_batches(shapes, batch_size), DIGEST_BYTES), np.uint8), batch_size, "")

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: dict[str, Any],
        shapes: Mapping[str, tuple[int, ...]],
        dtypes: Mapping[str, Any],
        *,
        batch_size: int,
        group: ProcessGroup,
        overwrite: bool,
    ) -> "PartialRecording":
        """The folder's recording where it has the same settings, by however many processes; else a fresh one.

        Every process of `group` has to call it; the leader makes the folder. An `InputError` for part of a recording
        with other settings, without `overwrite`; or processes on several machines, whose views of one file differ.
        """
        here = os.environ.get("LOCAL_WORLD_SIZE", str(group.size))
        if here != str(group.size):
            raise InputError(
                f"Expected all {group.size} processes that record on one machine, got {here} on this one: "
                "start torchrun with one node."
            )
        kinds = {name: (shape, np.dtype(dtypes[name])) for name, shape in shapes.items()}
        kinds["done"] = ((_batches(shapes, batch_size), DIGEST_BYTES), np.dtype(np.uint8))
        sizes = {name: math.prod(shape) * dtype.itemsize for name, (shape, dtype) in kinds.items()}
        files = {name: folder / f"{name}{_SUFFIX}" for name in kinds}
        same = cls.is_of(folder, settings)
        if not same and (folder / _SETTINGS).exists() and not overwrite:
            raise InputError(f"{folder} holds part of a recording with other settings: delete it, or set overwrite.")
        whole = same and all(file.is_file() and file.stat().st_size == sizes[name] for name, file in files.items())
        group.wait()  # all have looked
        if group.is_first and not whole:
            delete_recording(folder)
            with new_folder(folder):
                try:
                    for name, file in files.items():
                        with file.open("wb") as opened:
                            reserve(opened, sizes[name])
                    write_atomic(folder / _SETTINGS, _text(settings))  # last: a folder with settings is complete
                except BaseException:
                    delete_recording(folder)
                    raise
        group.wait()
        mapped: dict[str, np.ndarray] = {
            name: np.memmap(files[name], dtype, "r+", shape=shape) for name, (shape, dtype) in kinds.items()
        }
        return cls(folder, mapped, mapped.pop("done"), batch_size, _text(settings))

    @staticmethod
    def is_of(folder: Path, settings: dict[str, Any]) -> bool:
        """Whether the folder holds part of a recording with these settings."""
        file = folder / _SETTINGS
        return file.is_file() and file.read_bytes() == _text(settings).encode()

    @staticmethod
    def is_finished(folder: Path, settings: dict[str, Any]) -> bool:
        """Whether the folder is one with these settings of a process that was stopped after `finish`."""
        done = folder / f"done{_SUFFIX}"
        if not PartialRecording.is_of(folder, settings) or not done.is_file() or not done.stat().st_size:
            return False
        return done.stat().st_size % DIGEST_BYTES == 0 and bool(batches_done(folder).all())

    @staticmethod
    def remove_rest(folder: Path) -> None:
        """Delete the folder of a process that was killed while it deleted it."""
        if not (folder / _SETTINGS).exists():
            delete_recording(folder)

    def missing(self, group: ProcessGroup) -> list[int]:
        """The batches of this process that are not done: whole ones, dealt out in turn."""
        batches = range(group.rank, len(self._digests), group.size)
        digests = self._digests
        return [n for n in batches if not (digests[n].any() and np.array_equal(digests[n], self._digest(n)))]

    def note(self, batch: int) -> None:
        """Note that a batch's rows are written, for the next `keep`."""
        self._noted.append(batch)

    def keep(self) -> None:
        """Mark the noted batches as done."""
        for batch in self._noted:
            self._digests[batch] = self._digest(batch)
        self._noted.clear()

    def finish(self) -> None:
        """Bring the digests to the disk, before the rows' own file is there: it shows that file to be this one's."""
        if self.folder is not None:
            with (self.folder / f"done{_SUFFIX}").open("r+b") as file:
                os.fsync(file.fileno())

    def remove(self) -> None:
        """Delete the folder."""
        if self.folder is not None:
            delete_recording(self.folder)

    def _digest(self, batch: int) -> np.ndarray:
        """`[32]` the digest of the batch's rows, of its place and of the settings."""
        digest = hashlib.sha256(f"{batch} {self._name}".encode())
        for name in sorted(self.fields):
            digest.update(raw_bytes(self.fields[name][batch * self._batch_size : (batch + 1) * self._batch_size]))
        return np.frombuffer(digest.digest(), np.uint8)


def batches_done(folder: Path) -> np.ndarray:
    """`[batches]` bool: which batches of the folder's recording have a digest."""
    digests = np.fromfile(folder / f"done{_SUFFIX}", np.uint8)
    return np.asarray(digests.reshape(-1, DIGEST_BYTES).any(1))


def _batches(shapes: Mapping[str, tuple[int, ...]], batch_size: int) -> int:
    return -(-next(iter(shapes.values()))[0] // batch_size)


def _text(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)


def delete_recording(folder: Path) -> None:
    """Delete a recording's files, and their folder if nothing else is in it."""
    (folder / _SETTINGS).unlink(missing_ok=True)  # first: a folder with settings is complete
    sync_folder(folder)
    remove_leftovers(folder / _SETTINGS)
    for name in (*ROW_FIELDS, "done"):
        (folder / f"{name}{_SUFFIX}").unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        sync_folder(folder.parent)  # before the recording's own file may be deleted
