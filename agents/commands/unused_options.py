"""Refusal of options that would have no effect."""

from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any

from backbones import InputError


def refuse_unused(settings: Any, names: Iterable[str], where: str) -> None:
    """Refuse options that have no effect.

    Args:
        settings: a dataclass of options.
        names: names of the options without effect.
        where: the reason: "without a --dataset".

    Raises:
        InputError: for the first that is not at its default.
    """
    defaults = {
        entry.name: entry.default if entry.default_factory is MISSING else entry.default_factory()
        for entry in fields(settings)
    }
    for name in names:
        if (value := getattr(settings, name)) != defaults[name]:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"Expected no {flag} {where}, got {value}: leave it out, since it has no effect there.")
