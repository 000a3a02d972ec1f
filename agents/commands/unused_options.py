"""Refusal of options that would have no effect."""

from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any

from backbones import InputError


def refuse_unused(settings: Any, names: Iterable[str], where: str) -> None:
    """Raise an `InputError` for the first of these options of a dataclass that is not at its default: it has no effect
    there ("without a --dataset").
    """
    defaults = {
        entry.name: entry.default if entry.default_factory is MISSING else entry.default_factory()
        for entry in fields(settings)
    }
    for name in names:
        if (value := getattr(settings, name)) != defaults[name]:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"Expected no {flag} {where}, got {value}: leave it out, since it has no effect there.")
