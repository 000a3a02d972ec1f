"""Entry points: a user's own objects by "module:name", as Gymnasium names environments."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backbones import InputError


def is_entry_point(name: object) -> bool:
    """Whether a name is of the form "module:name"."""
    return isinstance(name, str) and all(part and "/" not in part for part in name.partition(":"))


def load_entry_point(name: str, kind: str) -> Any:
    """The object of that name.

    Raises:
        InputError: for a module that cannot be imported, or a name that is not in it.
    """
    module, _, attribute = name.partition(":")
    with users_own(f"the {kind} {name!r} to be importable as module:name"):
        return getattr(importlib.import_module(module), attribute)


@contextmanager
def users_own(expected: str) -> Iterator[None]:
    """Turn errors in the use of a user's own object into an `InputError` of the expectation that it fails."""
    try:
        yield
    except InputError:
        raise
    except (TypeError, ValueError, ImportError, AttributeError) as error:
        raise InputError(f"Expected {expected}, but {str(error).rstrip('.')}.") from error
