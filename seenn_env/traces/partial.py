"""An unfinished recording: a folder of mapped files that several processes of one machine write.

partial = PartialRecording.open(folder, settings, shapes, dtypes, batches=40, group=group)
partial.fields["logits"][rows] = …; partial.note(3); partial.keep()      # batch 3 is done

Letters: N rows.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from backbones import InputError
from backbones.machine import ProcessGroup


class PartialRecording:
    """Fields `[N, …]` by name, and a flag for each batch of rows that is done.

    Each process writes rows and flags of its own, and flushes the rows before their flag.
    """

    def __init__(self, folder: Path | None, fields: dict[str, np.ndarray], done: np.ndarray) -> None:
        self.folder, self.fields, self._done = folder, fields, done
        self._noted: list[int] = []

    @classmethod
    def in_memory(
        cls, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, Any], batches: int
    ) -> "PartialRecording":
        """Fresh fields without a folder."""
        fields = {name: np.empty(shape, dtypes[name]) for name, shape in shapes.items()}
        return cls(None, fields, np.zeros(batches, np.uint8))

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: dict[str, Any],
        shapes: Mapping[str, tuple[int, ...]],
        dtypes: Mapping[str, Any],
        *,
        batches: int,
        group: ProcessGroup,
        overwrite: bool,
    ) -> "PartialRecording":
        """The folder's recording where it has the same settings, by however many processes; else a fresh one.

        Every process of `group` has to call it; the leader makes the folder.

        Raises:
            InputError: for part of a recording with other settings, without `overwrite`; or processes on
                several machines, whose views of one file differ.
        """
        here = int(os.environ.get("LOCAL_WORLD_SIZE", group.size))
        if here != group.size:
            raise InputError(
                f"Expected all {group.size} processes that record on one machine, got {here} on this one: "
                "start torchrun with one node."
            )
        file, wanted = folder / "settings.json", json.dumps(settings, sort_keys=True)
        same = file.exists() and file.read_text() == wanted
        if file.exists() and not same and not overwrite:
            raise InputError(f"{folder} holds part of a recording with other settings: delete it, or set overwrite.")
        group.wait()  # all have looked
        if group.is_first and not same:
            _delete(folder)
            folder.mkdir(parents=True, exist_ok=True)
            for name, shape in {**shapes, "done": (batches,)}.items():
                dtype = np.dtype(np.uint8 if name == "done" else dtypes[name])
                np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape).flush()
            file.write_text(wanted)  # last: a folder with settings is complete
        group.wait()
        mapped: dict[str, np.ndarray] = {
            name: np.lib.format.open_memmap(folder / f"{name}.npy", "r+") for name in (*shapes, "done")
        }
        done = mapped.pop("done")
        return cls(folder, mapped, done)

    def missing(self, group: ProcessGroup) -> list[int]:
        """The batches of this process that are not done: whole ones, dealt out in turn."""
        return [batch for batch in range(group.rank, len(self._done), group.size) if not self._done[batch]]

    def note(self, batch: int) -> None:
        """Note that a batch's rows are written, for the next `keep`."""
        self._noted.append(batch)

    def keep(self) -> None:
        """Flush the fields, then mark the noted batches as done."""
        if self.folder is not None:
            for field in self.fields.values():
                field.flush()  # type: ignore[attr-defined]
        self._done[self._noted] = 1
        self._noted.clear()

    def remove(self) -> None:
        """Delete the folder."""
        if self.folder is not None:
            _delete(self.folder)


def _delete(folder: Path) -> None:
    """Delete a recording's files, and their folder if nothing else is in it."""
    if (file := folder / "settings.json").exists():
        names = json.loads(file.read_text())["shapes"]
        file.unlink()  # first: a folder with settings is complete
        for name in (*names, "done"):
            (folder / f"{name}.npy").unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
