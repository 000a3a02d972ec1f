"""Package doors that import a name at its first use.

    __getattr__, __dir__, __all__ = attach(__name__, __file__)

The names are those of the stub beside the door (`__init__.pyi`), which type checkers read. Importing a door imports
nothing else, so that `--help` does not wait for PyTorch.
"""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from backbones.errors import did_you_mean


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """`__getattr__`, `__dir__` and `__all__` of a package of that `__name__` and `__file__`."""
    modules: dict[str, str] = {}
    for node in ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            modules |= {alias.name: f"{package}.{node.module}" for alias in node.names}
    names = sorted(modules)

    def get(name: str) -> Any:
        if name not in modules:
            message = f"module {package!r} has no attribute {name!r}.{did_you_mean(name, names)}"
            raise AttributeError(message)
        value = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: names, names
