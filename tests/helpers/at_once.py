"""Commands in processes of their own that begin at the same moment."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODULES = ["agents.main", "agents.commands.table", "agents.comparison.report.folder", "sklearn.datasets", __name__]


@dataclass(frozen=True)
class End:
    """The end of a command."""

    status: int
    errors: str
    """Its standard error."""


def run_at_once(commands: Sequence[Sequence[object]], folder: Path) -> list[End]:
    """Run `seenn COMMAND` for each in a process, on one thread each; `folder` takes their errors."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(MODULES)
    barrier, files = context.Barrier(len(commands)), [folder / f"errors-{i}" for i in range(len(commands))]
    processes = [
        context.Process(target=_run, args=([str(part) for part in command], file, barrier))
        for command, file in zip(commands, files, strict=True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [End(process.exitcode or 0, file.read_text()) for process, file in zip(processes, files, strict=True)]


def _run(arguments: list[str], errors: Path, barrier: Any) -> None:
    import torch

    from agents.main import main

    for number, file in ((1, os.devnull), (2, errors)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    torch.set_num_threads(1)
    barrier.wait()
    try:
        main(arguments)
    finally:
        sys.stderr.flush()
