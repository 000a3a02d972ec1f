"""One-line representations of dataclasses that hold arrays or networks."""

from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

_SHOWN, _WIDTH = 4, 100
"""Entries of a sequence, and characters of another value."""


def one_line(self: Any) -> str:
    """`__repr__` of a dataclass: arrays by type and shape, first entries of sequences, long values by their type."""
    values = (f"{entry.name}={_short(getattr(self, entry.name))}" for entry in fields(self) if entry.repr)
    return f"{type(self).__name__}({', '.join(values)})"


def _short(value: Any) -> str:
    if getattr(value, "shape", ()):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    if isinstance(value, Real) and not isinstance(value, Integral):
        return f"{float(value):.6g}"
    if isinstance(value, list | tuple | Mapping):
        some, left_out = list(value)[:_SHOWN], ["…"] * (len(value) > _SHOWN)
        if isinstance(value, Mapping):
            return f"{{{', '.join([f'{key!r}: {_short(value[key])}' for key in some] + left_out)}}}"
        return f"({', '.join([_short(entry) for entry in some] + left_out)})"
    text = repr(value)
    return text if len(text) <= _WIDTH and "\n" not in text else f"{type(value).__name__}(…)"
