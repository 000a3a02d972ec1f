"""Entry points: a user's own objects by "module:name", as Gymnasium names environments."""

import importlib
from typing import Any

from backbones.errors import users_own


def is_entry_point(name: object) -> bool:
    """Whether a name is of the form "module:name"."""
    return isinstance(name, str) and all(part and "/" not in part for part in name.partition(":"))


def load_entry_point(name: str, kind: str) -> Any:
    """The object of that name; an `InputError` for a module that cannot be imported, or a name that is not in it."""
    module, _, attribute = name.partition(":")
    with users_own(f"the {kind} {name!r} to be importable as module:name"):
        return getattr(importlib.import_module(module), attribute)
