"""Commands that are killed, or find the disk full, at the n-th file operation below a folder.

with Nursery() as nursery:
    run = nursery.run(["record", …], below=tmp_path, fault="kill", at=7)

Each command runs in a fork of one process that has imported everything. File operations are opening for writing,
every write, fsync, reserving, making, renaming and deleting.
"""

import builtins
import errno
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tests.helpers.programs import ROOT

NEED_SPACE = {"open", "write", "fsync", "reserve", "mkdir", "rename"}
"""Operations that a full disk refuses."""


@dataclass(frozen=True)
class Run:
    """The end of a command."""

    status: int
    """Its exit status; negative: the signal that ended it."""
    operations: int
    """File operations that it tried; 0 if it was killed."""
    errors: str
    """Its standard error."""


class Nursery:
    """A process that forks commands."""

    def __enter__(self) -> "Nursery":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.faults"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self,
        arguments: Sequence[object],
        *,
        below: Path,
        fault: Literal["kill", "full"] | None = None,
        at: int = 0,
        seconds: float | None = None,
    ) -> Run:
        """Run `seenn ARGUMENTS` with a fault at its `at`-th file operation, or until it is killed after a time."""
        job = {"arguments": [str(part) for part in arguments], "below": str(below), "fault": fault, "at": at}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({**job, "seconds": seconds}), file=self._process.stdin, flush=True)
        return Run(**json.loads(self._process.stdout.readline()))


class Faults:
    """Counts file operations below a folder, and fails at one of them (a full disk: at all from there)."""

    def __init__(self, below: str, fault: str | None, at: int) -> None:
        self.below, self.fault, self.at, self.count = below, fault, at, 0
        self.lock = threading.RLock()

    def install(self) -> None:
        """Watch this process from now on."""
        opens, fsync, reserve = io.open, os.fsync, os.posix_fallocate
        faults = self

        class Written:
            """An open file whose writes are operations."""

            def __init__(self, file: Any) -> None:
                self.file = file

            def __getattr__(self, name: str) -> Any:
                return getattr(self.file, name)

            def __enter__(self) -> Any:
                self.file.__enter__()
                return self

            def __exit__(self, *error: object) -> Any:
                return self.file.__exit__(*error)

            def __iter__(self) -> Any:
                return iter(self.file)

            def write(self, data: Any) -> Any:
                faults.operation("write", self.file.name)
                return self.file.write(data)

        def watched_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            opened = opens(file, mode, *args, **kwargs)
            return Written(opened) if set(mode) & set("wxa+") and faults.is_below(file) else opened

        def watched_fsync(descriptor: int) -> None:
            faults.operation("fsync", os.readlink(f"/proc/self/fd/{descriptor}"))
            fsync(descriptor)

        def watched_reserve(descriptor: int, *args: Any) -> None:
            faults.operation("reserve", os.readlink(f"/proc/self/fd/{descriptor}"))
            reserve(descriptor, *args)

        def hook(event: str, args: tuple[Any, ...]) -> None:
            if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.operation("open", args[0])
            elif event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir"):
                self.operation(event[3:], args[0])

        builtins.open = io.open = watched_open  # type: ignore[assignment]
        os.fsync, os.posix_fallocate = watched_fsync, watched_reserve  # type: ignore[assignment]
        sys.addaudithook(hook)

    def is_below(self, path: Any) -> bool:
        """Whether an operation counts."""
        return isinstance(path, str | bytes | os.PathLike) and os.path.abspath(os.fsdecode(path)).startswith(self.below)

    def operation(self, kind: str, path: Any) -> None:
        """Count one, before it is done."""
        if not self.is_below(path) or (self.fault == "full" and kind not in NEED_SPACE):
            return
        with self.lock:
            self.count += 1
            if self.fault == "kill" and self.count == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fault == "full" and self.count >= self.at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fsdecode(path))


def _command(job: dict[str, Any], errors: str, counted: str) -> None:
    """The forked process."""
    from agents.main import main

    for number, file in ((1, os.devnull), (2, errors)):
        os.dup2(os.open(file, os.O_WRONLY), number)
    faults = Faults(job["below"], job["fault"], job["at"])
    faults.install()
    status = 0
    try:
        main(job["arguments"])
    except SystemExit as stop:
        status = int(stop.code or 0)
    sys.stderr.flush()
    number = os.open(counted, os.O_WRONLY)
    os.write(number, str(faults.count).encode())
    os._exit(status)


def _serve() -> None:
    import sklearn.datasets  # noqa: F401
    import stable_baselines3  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401

    import agents.commands.table
    import agents.main  # noqa: F401
    import backbones.training.loop  # noqa: F401
    from agents.comparison.report.folder import write_report  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        for line in sys.stdin:
            job = json.loads(line)
            errors, counted = Path(folder, "errors"), Path(folder, "counted")
            errors.write_text("")
            counted.write_text("0")
            if (child := os.fork()) == 0:
                _command(job, str(errors), str(counted))
            timer = threading.Timer(job["seconds"] or 600, os.kill, (child, signal.SIGKILL))
            timer.start()
            _, status = os.waitpid(child, 0)
            timer.cancel()
            run = Run(os.waitstatus_to_exitcode(status), int(counted.read_text()), errors.read_text())
            print(json.dumps(asdict(run)), flush=True)


if __name__ == "__main__":
    _serve()
