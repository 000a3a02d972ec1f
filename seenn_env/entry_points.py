"""Entry points: a user's own objects by "module:name", as Gymnasium names environments."""

import importlib
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
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"Expected the {kind} {name!r} to be importable as module:name, but {error}: put its module on the path."
        ) from error
