"""Names at the doors of packages and rooms: docstrings list the arguments that there are, and a call without them, or
with too many, names the mistake.
"""

import importlib
import inspect
import re
import typing
from pathlib import Path

import pytest

from backbones.errors import InputError
from tests.structure import PACKAGES

ROOT = Path(__file__).parents[1]
DOORS = [".".join(stub.parent.relative_to(ROOT).parts) for name in PACKAGES for stub in (ROOT / name).rglob("*.pyi")]


def functions():
    """Every function and class at the doors, by its full name; protocols are not called."""
    found = {}
    for door in DOORS:
        for name in importlib.import_module(door).__all__:
            thing = getattr(importlib.import_module(door), name)
            own = getattr(thing, "__module__", "").split(".")[0] in PACKAGES
            callable_ = inspect.isfunction(thing) or (inspect.isclass(thing) and not issubclass(thing, Exception))
            if own and callable_ and not getattr(thing, "_is_protocol", False):
                found.setdefault(thing, f"{door}.{name}")
    return [pytest.param(thing, id=name) for thing, name in found.items()]


def parameters(function):
    """The names that a function takes, those of `**settings: Unpack[…]` included, and whether it takes any other."""
    names, open_ = [], False
    for each in inspect.signature(function).parameters.values():
        if each.kind is each.VAR_KEYWORD:
            made = function.__init__ if inspect.isclass(function) else function
            hint = typing.get_type_hints(made).get(each.name)
            names += [*typing.get_type_hints(typing.get_args(hint)[0])] if typing.get_args(hint) else [each.name]
            open_ = not typing.get_args(hint)
        else:
            names.append(each.name)
    return names, open_


def documented(function):
    """The names in the section "Args" of a docstring; None without one."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", inspect.getdoc(function) or "", re.MULTILINE)
    entries = re.findall(r"^    (\w[\w, ]*):", section[1], re.MULTILINE) if section else []
    return [name for entry in entries for name in entry.split(", ")] if section else None


@pytest.mark.parametrize("function", functions())
def test_a_docstring_lists_the_arguments_that_there_are(function):
    listed, (names, open_) = documented(function), parameters(function)
    if listed is not None:
        text = inspect.getdoc(function)
        assert not [name for name in names if name not in listed and f"`{name}`" not in text]
        assert open_ or not set(listed) - set(names)


@pytest.mark.parametrize("function", functions())
def test_a_call_without_arguments_or_with_too_many_names_the_mistake(function):
    signature = inspect.signature(function).parameters.values()
    required = [each.name for each in signature if each.default is each.empty and each.kind < each.VAR_KEYWORD]
    if required:
        with pytest.raises((TypeError, InputError), match="|".join(f"'{name}'|{name}" for name in required)):
            function()
    with pytest.raises((TypeError, InputError), match=r"positional argument|takes no arguments|Expected"):
        function(*[object()] * 40)
