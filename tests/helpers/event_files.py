"""Reading of TensorBoard's event files without times."""

import struct
from collections.abc import Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog

TIMES = ("train/images_per_second", "time/fps", "_hparams_/")
"""Beginnings of tags whose values hold times."""


def events_of(files: Sequence[Path]) -> list[tuple[str, int, bytes]]:
    """Tag, step and value of each event of a run, as TensorBoard reads its files: a cut one up to the cut."""
    events: list[tuple[str, int, bytes]] = []
    for file in files:
        content, place = file.read_bytes(), 0
        while place + 12 <= len(content):
            (size,) = struct.unpack_from("<Q", content, place)
            if place + size + 16 > len(content):
                break
            event = Event.FromString(content[place + 12 : place + 12 + size])
            if event.session_log.status == SessionLog.START:
                events = [each for each in events if each[1] < event.step]
            events += [
                (value.tag, event.step, b"" if value.tag.startswith(TIMES) else value.SerializeToString())
                for value in event.summary.value
            ]
            place += size + 16
    return events
