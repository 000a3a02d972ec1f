"""Programs outside of the packages: run in processes of their own, or loaded as modules."""

import importlib.util
import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.forks import Fork

ROOT = Path(__file__).parents[2]
"""The checkout."""

needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnxscript") is None, reason="the extra is not installed: pip install '.[onnx]'"
)


def start_python(*arguments: object, **environment: str) -> subprocess.Popen:
    """`python ARGUMENTS` with the checkout on its path, one thread, and pipes for its output."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, *(str(argument) for argument in arguments)],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in jobs of the background
    )


def run_python(*arguments: object, **environment: str) -> tuple[str, str]:
    """Standard output and standard error of `python ARGUMENTS`, which has to succeed."""
    process = start_python(*arguments, **environment)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return output, errors


def start_two(*arguments: object) -> list[Fork]:
    """`python ARGUMENTS` in two processes that know each other as `torchrun`'s do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    crew = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    line = [str(argument) for argument in arguments]
    return [Fork(run_as_program, line, {**crew, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)]


def run_as_program(arguments: list[str], environment: dict[str, str]) -> None:
    """`python ARGUMENTS`, in this process."""
    os.environ.update(environment)
    sys.argv = arguments[1:] if arguments[0] == "-m" else arguments
    run = runpy.run_module if arguments[0] == "-m" else runpy.run_path
    run(sys.argv[0], run_name="__main__")


def load_program(path: str) -> ModuleType:
    """The program `PATH.py` of the checkout as a module; it finds the files beside it as it does when it is run."""
    file = ROOT / f"{path}.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(file.parent)
        module = importlib.import_module(file.stem)
    assert module.__file__ == str(file), f"two programs are named {file.name}"
    return module
