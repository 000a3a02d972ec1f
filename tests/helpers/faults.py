"""Commands that are killed, or find the disk full, at the n-th file operation below a folder.

with Nursery() as nursery:
    run = nursery.run(["record", …], below=tmp_path, fault="kill", at=7)

Each command runs in a fork of one process that has imported everything and has one thread. File operations are opening
for writing, every write that reaches the system, cutting, fsync, reserving, making, renaming and deleting. Pictures are
left blank, and one export serves all, which is most of the time of the commands that make them.
"""

import builtins
import errno
import io
import json
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from tests.helpers.power import Journal
from tests.helpers.programs import ROOT

NEED_SPACE = {"open", "write", "fsync", "reserve", "mkdir", "rename"}
"""Operations that a full disk refuses."""

Fault = Literal["kill", "full", "ENOSPC", "EIO", "EACCES", "shots", "journal"]
"""Killed; the disk is full from there on; that operation alone fails; or none, but before each operation the folder is
copied, as a kill would leave it, to a folder "1", "2", … in `shots`, or noted in a journal, the file `shots`."""


@dataclass(frozen=True)
class Run:
    """The end of a command."""

    status: int
    """Its exit status; negative: the signal that ended it."""
    operations: int
    """File operations that it tried; 0 if it was killed."""
    errors: str
    """Its standard error."""
    seconds: float


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

    def rehearse(self, arguments: Sequence[object]) -> None:
        """Run a command in the process that forks: later ones find its imports and caches."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"rehearsed": [str(part) for part in arguments]}), file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "done\n"

    def run(
        self,
        arguments: Sequence[object],
        *,
        below: Path,
        fault: Fault | None = None,
        at: int = 0,
        seconds: float | None = None,
        shots: Path | None = None,
    ) -> Run:
        """Run `seenn ARGUMENTS` with a fault at its `at`-th file operation, or until it is killed after a time."""
        job: dict[str, Any] = {"arguments": [str(part) for part in arguments], "below": str(below), "fault": fault}
        job |= {"at": at, "shots": str(shots)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({**job, "seconds": seconds}), file=self._process.stdin, flush=True)
        return Run(**json.loads(self._process.stdout.readline()))


class Faults:
    """Counts file operations below a folder, and fails at one of them (a full disk: at all from there)."""

    def __init__(self, below: str, fault: Fault | None, at: int, shots: str) -> None:
        self.below, self.fault, self.at, self.shots, self.count = below, fault, at, shots, 0
        self.journal = Journal(below)

    def install(self) -> None:
        """Watch this process from now on."""
        opens, fsync, reserve = io.open, os.fsync, os.posix_fallocate
        faults = self

        class Watched(io.FileIO):
            """A file whose writes are operations."""

            def write(self, data: Any) -> int:
                faults.operation("write", self.name)
                return super().write(data)

            def truncate(self, size: int | None = None) -> int:
                faults.operation("truncate", self.name)
                return super().truncate(size)

        def watched_open(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            *args: Any,
        ) -> Any:
            if not set(mode) & set("wxa+") or not faults.is_below(file):
                return opens(file, mode, buffering, encoding, errors, newline, *args)
            raw = Watched(file, mode.replace("t", "").replace("b", ""))
            buffered: Any = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

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
        if not self.is_below(path) or (self.fault in ("full", "ENOSPC") and kind not in NEED_SPACE):
            return
        self.count += 1
        if self.fault == "shots":
            shutil.copytree(self.below, f"{self.shots}/{self.count}", symlinks=True)
        if self.fault == "journal":
            self.journal.note(kind, path)
        if self.fault == "kill" and self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "full" and self.count >= self.at:
            raise _error(errno.ENOSPC, path)
        if self.fault in ("ENOSPC", "EIO", "EACCES") and self.count == self.at:
            raise _error(getattr(errno, self.fault), path)


def _error(number: int, path: Any) -> OSError:
    return OSError(number, os.strerror(number), os.fsdecode(path))


def _command(job: dict[str, Any], number: int, errors: str, counted: str) -> None:
    """The forked process."""
    from agents.main import main

    for descriptor, file in ((1, os.devnull), (2, errors)):
        os.dup2(os.open(file, os.O_WRONLY), descriptor)
    clock = time.time
    time.time = lambda: clock() + 10 * number  # the names of TensorBoard's files are in the order of the commands
    faults = Faults(job["below"], job["fault"], job["at"], job["shots"])
    faults.install()
    status = 0
    try:
        main(job["arguments"])
    except SystemExit as stop:
        status = int(stop.code or 0)
    if job["fault"] == "journal":
        faults.journal.note("end", job["below"])
        Path(job["shots"]).write_bytes(pickle.dumps(faults.journal.moments))
    sys.stderr.flush()
    descriptor = os.open(counted, os.O_WRONLY)
    os.write(descriptor, str(faults.count).encode())
    os._exit(status)


def _prepare() -> None:
    """Run on one thread, and shorten what has no option."""
    import matplotlib.figure
    import torch

    import agents.commands.quickstart
    import agents.deployment.onnx
    import backbones.onnx_export

    torch.set_num_threads(1)
    agents.commands.quickstart.RECORDED.update(policy=1, calibration=1, test=1)
    matplotlib.figure.Figure.draw = lambda *_: None
    to_onnx, exported = backbones.onnx_export.to_onnx, {}

    def exported_once(module: Any, inputs: Any, *names: Any) -> bytes:
        key = type(module), *(tuple(each.shape) for each in inputs), *names
        if key not in exported:
            exported[key] = to_onnx(module, inputs, *names)
        return exported[key]

    backbones.onnx_export.to_onnx = agents.deployment.onnx.to_onnx = exported_once


def _serve() -> None:
    _prepare()
    with tempfile.TemporaryDirectory() as folder:
        for number, line in enumerate(sys.stdin):
            job = json.loads(line)
            if "rehearsed" in job:
                from agents.main import main

                with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                    main(job["rehearsed"])
                print("done", flush=True)
                continue
            errors, counted = Path(folder, "errors"), Path(folder, "counted")
            errors.write_text("")
            counted.write_text("0")
            began = time.perf_counter()
            if (child := os.fork()) == 0:
                _command(job, number, str(errors), str(counted))
            ended = os.pidfd_open(child)  # no thread waits: a fork would inherit its locks
            if not select.select([ended], [], [], job["seconds"] or 600)[0]:
                os.kill(child, signal.SIGKILL)
            os.close(ended)
            _, status = os.waitpid(child, 0)
            facts = os.waitstatus_to_exitcode(status), int(counted.read_text()), errors.read_text()
            print(json.dumps(asdict(Run(*facts, time.perf_counter() - began))), flush=True)


if __name__ == "__main__":
    _serve()
