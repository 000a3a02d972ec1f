"""TensorBoard's event files, written by the thread that logs: a full disk is an error there.

with EventLog("runs/log") as log:
    log.add_scalar("loss", 0.1, 1)
"""

import os
import socket
import time
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import IO, Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.writer import FileWriter

from backbones.atomic import new_folder, sync_folder, write_atomic

EVENT_FILES = "events.out.tfevents.*"
"""Pattern of their names."""
WHOLE = "events.out.tfevents.0"
"""Name of a file that is written whole."""
_numbers = count()


class EventLog(SummaryWriter):
    """A `SummaryWriter` whose file appears whole when it is closed, in place of an earlier one, in a folder that is
    made.

    One that `grows` writes into a further file of the run, at every `flush`; events of the run's earlier files from
    `first_step` on do not count.
    """

    def __init__(self, folder: str | Path, *, grows: bool = False, first_step: int | None = None) -> None:
        self.grows, self.first_step = grows, first_step
        super().__init__(str(folder))

    def __exit__(self, kind: object, *error: object) -> None:
        """Write the file, unless an error ended the block."""
        if kind is None:
            self.close()

    def sync(self) -> None:
        """Bring the events so far of a file that grows to the disk."""
        self.flush()
        os.fsync(self._get_file_writer().file.fileno())

    def _get_file_writer(self) -> Any:
        if self.file_writer is None:
            writer: Any = _Writer(Path(self.log_dir), self.grows)
            writer.add_event(Event(file_version="brain.Event:2"))
            if self.first_step is not None:
                writer.add_event(Event(session_log=SessionLog(status=SessionLog.START)), step=self.first_step)
            self.file_writer, self.all_writers = writer, {self.log_dir: writer}  # type: ignore[assignment]
        return self.file_writer


class _Writer(FileWriter):
    """A file writer that is its own event writer."""

    def __init__(self, folder: Path, grows: bool) -> None:
        self.folder, self.event_writer = folder, self
        self.file: IO[bytes] = BytesIO()
        if grows:
            name = f"events.out.tfevents.{int(time.time()):010}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
            with new_folder(folder):
                self.file = (folder / name).open("xb")
            sync_folder(folder)
        self.records = RecordWriter(self.file)

    def get_logdir(self) -> str:
        return str(self.folder)

    def add_event(self, event: Any, step: int | None = None, walltime: float | None = None) -> None:
        event.wall_time = time.time() if walltime is None else walltime
        if step is not None:
            event.step = int(step)
        self.records.write(event.SerializeToString())

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        if isinstance(self.file, BytesIO):
            write_atomic(self.folder / WHOLE, self.file.getvalue())
        else:
            os.fsync(self.file.fileno())
        self.file.close()
