"""States that a loss of power may leave of a folder, by a model of file systems like that of ALICE (OSDI 2014).

A name is on the disk once its folder was synced after the change; content, once the file was. At any moment, changes of
names since then are there up to any of them, or all but one, or one alone; content since then is there, missing, zeros
or cut, in all files or in one. A rename within a folder is one change; between two folders, a file may have both names.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

State = dict[str, bytes | None]
"""Files with their content, and folders (None), by their paths below a folder."""

Loss = Literal["missing", "zeros", "cut"]
"""Of content that is not on the disk."""


@dataclass(frozen=True)
class Moment:
    """A folder before an operation; files have numbers, which they keep when they are renamed."""

    synced: str | None
    """Path of the file or folder, if the operation is fsync; "." is the folder itself."""
    names: dict[str, int]
    """Numbers by path."""
    content: dict[int, bytes | None]
    """By number; None: a folder."""


class Journal:
    """The moments of a command."""

    def __init__(self, below: str) -> None:
        self.below = below
        self.moments: list[Moment] = []
        self._numbers: dict[int, int] = {}
        self._count = 0

    def note(self, kind: str, path: str) -> None:
        """Note an operation before it is done."""
        last = self.moments[-1].content if self.moments else {}
        names, content, numbers = {".": 0}, dict[int, bytes | None]({0: None}), {}
        for folder, folders, files in os.walk(self.below):
            for name in folders + files:
                place = os.path.join(folder, name)
                inode = os.stat(place).st_ino
                if inode not in self._numbers:  # of a deleted file otherwise
                    self._count += 1
                number = numbers[inode] = self._numbers.get(inode, self._count)
                names[os.path.relpath(place, self.below)] = number
                content[number] = now = Path(place).read_bytes() if name in files else None
                if number in last and last[number] == now:
                    content[number] = last[number]
        self._numbers = numbers
        self.moments.append(Moment(os.path.relpath(path, self.below) if kind == "fsync" else None, names, content))


@dataclass(eq=False)
class _Change:
    """A change of names: new numbers by path, or None; a removal is there `after` the new name is."""

    names: dict[str, int | None]
    after: "_Change | None" = None


def states(moments: list[Moment]) -> list[tuple[int, State]]:
    """The different states, each with the last moment that may leave it; the last moment is after the command."""
    found: dict[frozenset, tuple[int, State]] = {}
    names, disk = moments[0].names, dict(moments[0].content)
    written, pending = dict(disk), list[_Change]()
    for at, (before, now) in enumerate(pairwise(moments), 1):
        if before.synced is not None and before.synced in before.names:
            number = before.names[before.synced]
            disk[number] = before.content[number]
            if before.content[number] is None:
                synced = [each for each in pending if any(_parent(path) == before.synced for path in each.names)]
                synced += [each.after for each in synced if each.after is not None]
                names = _applied(names, done := [each for each in pending if each in synced])
                pending = [each for each in pending if each not in done]
        pending += _changes(before.names, now.names)
        written |= now.content
        for state in _states(names, pending, disk, written):
            found[frozenset(state.items())] = at, state
    return list(found.values())


def write_state(state: State, folder: Path) -> None:
    """Write a state into a new folder; all times are equal, since files are not written in the order of the command."""
    folder.mkdir()
    for path, content in sorted(state.items()):
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
    for path in state:
        os.utime(folder / path, (0, 0))


def _parent(path: str) -> str:
    return os.path.dirname(path) or "."


def _changes(before: dict[str, int], now: dict[str, int]) -> list[_Change]:
    """The changes of names between two moments."""
    removed = [path for path in before if path not in now]
    changes, old = list[_Change](), {before[path]: path for path in removed}
    for path, number in now.items():
        if before.get(path) != number:
            changes.append(_Change({path: number}))
            if (source := old.get(number)) is not None:
                removed.remove(source)
                if _parent(source) == _parent(path):
                    changes[-1].names[source] = None
                else:
                    changes.append(_Change({source: None}, after=changes[-1]))
    return changes + [_Change({path: None}) for path in reversed(removed)]


def _applied(names: dict[str, int], changes: Iterable[_Change]) -> dict[str, int]:
    """Names after changes."""
    new: dict[str, int | None] = dict(names)
    for change in changes:
        new.update(change.names)
    return {path: number for path, number in new.items() if number is not None}


def _states(
    names: dict[str, int], pending: list[_Change], disk: dict[int, bytes | None], written: dict[int, bytes | None]
) -> Iterator[State]:
    """The states of one moment, from the names and the content on the disk and the changes that are not."""
    count = len(pending)
    parts = [pending[:n] for n in range(count + 1)]
    parts += [[change] for change in pending] + [[*pending[:n], *pending[n + 1 :]] for n in range(count)]
    for part in parts:
        kept = [each for each in part if each.after is None or each.after in part or each.after not in pending]
        there = _applied(names, kept)
        there = {
            path: n for path, n in there.items() if path == "." or all(str(p) in there for p in Path(path).parents)
        }
        unsynced = {n for n in there.values() if written[n] != disk.get(n, b"")}
        losses = [dict.fromkeys(unsynced, loss) for loss in ("missing", "zeros", "cut")]
        for n in unsynced if part == pending else ():
            losses += [{n: "missing"}, {n: "zeros"}, dict.fromkeys(unsynced - {n}, "missing")]
        for lost in [{}, *losses]:
            yield {path: _after_loss(disk.get(n), written[n], lost.get(n)) for path, n in there.items() if path != "."}


def _after_loss(disk: bytes | None, written: bytes | None, loss: Loss | None) -> bytes | None:
    """Content of a file of which the disk has an older state, or none."""
    if loss is None or written is None:
        return written
    disk = disk or b""
    if loss == "missing":
        return disk
    if loss == "cut":
        return written[: (len(written) + (len(disk) if written.startswith(disk) else 0)) // 2]
    same = bytes(a if a == b else 0 for a, b in zip(disk, written, strict=False))
    return same + bytes(len(written) - len(same))
