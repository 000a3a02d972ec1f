"""Functions in processes of their own, forked from one that has imported everything."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODULES = [
    "agents.main",
    "agents.commands.table",
    "agents.comparison.report.folder",
    "backbones.training.loop",
    "pytest",
    "seenn_env.traces.recording",
    "sklearn.datasets",
    "torch._dynamo",
    __name__,
]


class Fork:
    """`function(*arguments)` on one thread, in a process that has begun; it answers as a `subprocess.Popen` does."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(MODULES)
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name, name) for name in ("output", "errors")]
        self._process = context.Process(target=_run, args=(function, arguments, self._files))
        self._process.start()
        self.kill = self._process.kill

    @property
    def returncode(self) -> int | None:
        """The exit status; negative: the signal that ended the process; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int | None:
        """Wait for the end; its exit status."""
        self._process.join(timeout)
        assert self.returncode is not None, f"runs for more than {timeout} s"
        return self.returncode

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        """Standard output and standard error, after the end."""
        self.wait(timeout)
        output, errors = (file.read_text() for file in self._files)
        return output, errors


def _run(function: Callable, arguments: tuple[Any, ...], files: list[Path]) -> None:
    import torch

    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    torch.set_num_threads(1)
    function(*arguments)
