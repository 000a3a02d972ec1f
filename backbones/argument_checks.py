"""Check of arguments against their annotations: a value of another type is an `InputError`.

NumPy's numbers become Python's, which files hold, in short containers too.

@check_kinds
def record(backbone: Backbone, samples: Samples, *, repeats: Positive = 1): …     # repeats="many", 0: InputError
"""

import dataclasses
import inspect
import math
import operator
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial, wraps
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import numpy as np

from backbones.deferred_rows import RowView
from backbones.errors import InputError, kind_of, shown, unknown_name, with_article
from backbones.tensors import is_tensor, tensor_types

P = ParamSpec("P")
R = TypeVar("R")

_LARGEST = 1e30
"""Numbers with a limit are up to it: float32 holds them and their products with others."""


@dataclass(frozen=True)
class Limit:
    """Beside a type, in `Annotated`: a bound of the accepted numbers, which are finite, too."""

    words: str
    holds: Callable[[Any, float], bool]
    bound: float


AtLeast, Above = partial(Limit, "of {} or more", operator.ge), partial(Limit, "above {}", operator.gt)
AtMost, Below = partial(Limit, "of {} or less", operator.le), partial(Limit, "below {}", operator.lt)

Natural = Annotated[int, AtLeast(0)]
Positive = Annotated[int, AtLeast(1)]
NarrowSeed = Annotated[int, AtLeast(0), Below(2**32)]
"""Of random numbers of NumPy's older kind, which scikit-learn and stable-baselines3 use."""
FromZero = Annotated[float, AtLeast(0)]
AboveZero = Annotated[float, Above(0)]
Finite = Annotated[float, Limit("that is finite", operator.gt, -math.inf)]
Fraction = Annotated[float, AtLeast(0), AtMost(1)]

_SHORT = 100
"""Items of a container in which NumPy's numbers are looked for."""
_WIDEST = 2**63
"""Whole numbers are below: PyTorch, NumPy and files hold 64 bits."""

_WORDS: dict[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a string",
    types.NoneType: "None",
    np.ndarray: "an array",
}


def check_kinds(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: the function raises an `InputError` for unknown arguments, or those of another type than annotated."""
    parameters = inspect.signature(function).parameters.values()
    named = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    others = next((each.name for each in parameters if each.kind is each.VAR_POSITIONAL), "")
    options = next((each.name for each in parameters if each.kind is each.VAR_KEYWORD), "")
    keywords = {each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}

    @cache
    def all_hints() -> tuple[dict[str, Any], bool]:
        """The annotations, `**settings: Unpack[Settings]` included, and whether other names are taken too."""
        hints, rest = _hints(function), _hints(function).get(options, Any)
        unpacked = typing.get_origin(rest) is typing.Unpack
        own = _hints(typing.get_args(rest)[0]) if unpacked else {}
        return {**dict.fromkeys(keywords, Any), **hints, **own}, bool(options) and not unpacked

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        hints, any_name = all_hints()
        for place, value in enumerate(args):
            name = named[place] if place < len(named) else others
            _check(name, value, hints.get(name, Any))
        for name, value in kwargs.items():
            if name not in hints and not any_name:
                owner = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
                raise unknown_name(f"argument of {owner}", name, hints.keys() - {"self", "cls", "return", options})
            _check(name, value, hints.get(name, hints.get(options, Any)))
        return function(*map(_plain, args), **{name: _plain(value) for name, value in kwargs.items()})

    return checked


def check_fields(settings: Any) -> None:
    """Refuse fields of a dataclass of another type than their annotations; called first in `__post_init__`."""
    kind: Any = type(settings)
    hints = _hints(kind)
    for field in dataclasses.fields(settings):
        if field.init and (value := getattr(settings, field.name)) is not field.default:
            _check(field.name, value, hints.get(field.name, Any))
            if (plain := _plain(value)) is not value:
                object.__setattr__(settings, field.name, plain)


def _plain(value: Any) -> Any:
    """The value with Python's numbers in place of NumPy's; itself where there are none."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) not in (dict, list, tuple) or len(value) > _SHORT:
        return value
    parts = list(value.values() if isinstance(value, dict) else value)
    plain = [_plain(part) for part in parts]
    if all(one is other for one, other in zip(parts, plain, strict=True)):
        return value
    return dict(zip(value, plain, strict=True)) if isinstance(value, dict) else type(value)(plain)


def _check(name: str, value: Any, hint: Any) -> None:
    if typing.get_origin(hint) is typing.Literal and isinstance(value, str) and value not in typing.get_args(hint):
        raise unknown_name(f"value of {name}", value, typing.get_args(hint))
    if not _fits(value, hint):
        parts = typing.get_args(hint)
        if typing.get_origin(hint) in (dict, Mapping) and isinstance(value, Mapping):
            for key, each in value.items():
                _check(f"the key {key!r} of {name}", key, parts[0])
                _check(f"{name}[{key!r}]", each, parts[1])
        plain = isinstance(value, str | int | float | None) or (isinstance(value, tuple) and len(value) <= 8)
        words = shown(value) if plain else kind_of(value)
        if isinstance(value, int) and abs(value) >= _WIDEST:
            words = "one of more than 64 bits"
        elif isinstance(value, float) and _LARGEST < abs(value) < math.inf:
            words += f", which is beyond {_LARGEST}"
        raise InputError(f"Expected {name} to be {_in_words(hint)}, got {words}.")


@cache
def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError:  # an annotation for the type checker alone
        return {}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type, as far as it can be checked; arrays and tensors are interchangeable."""
    kind, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if isinstance(hint, TypeVar):
        return hint.__bound__ is None or _fits(value, hint.__bound__)
    if kind is Annotated:
        limits = _limits(parts)
        return _fits(value, parts[0]) and all(
            abs(value) <= _LARGEST and each.holds(value, each.bound) for each in limits if value is not None
        )
    if kind in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if kind is typing.Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if kind in (tuple, list, Sequence, Iterable):
        if kind is Iterable:
            return isinstance(value, Iterable) and not isinstance(value, str | bytes)
        if not (isinstance(value, Sequence | np.ndarray) or is_tensor(value)) or isinstance(value, str | bytes):
            return False
        if getattr(value, "ndim", 1) == 0:
            return False
        several = kind is not tuple or (len(parts) == 2 and parts[1] is ...)
        if not several:
            return len(value) == len(parts) and all(_fits(*each) for each in zip(value, parts, strict=True))
        return not parts or all(_fits(each, parts[0]) for each in value)
    if kind in (dict, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(each, part) for pair in value.items() for each, part in zip(pair, parts, strict=True)
        )
    if kind is type:
        return isinstance(value, type)
    if hint is None or hint is types.NoneType:
        return value is None
    if not isinstance(hint, type):
        return kind is not Callable or callable(value)
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool) and -_WIDEST <= int(value) < _WIDEST
    if hint is float:
        fits = isinstance(value, Real) and not isinstance(value, bool) and value == value  # NaN is not
        return fits and not (isinstance(value, Integral) and abs(int(value)) >> 1023)  # beyond any float
    if hint in (np.ndarray, *tensor_types()):
        return isinstance(value, np.ndarray | RowView) or is_tensor(value)
    if getattr(hint, "_is_protocol", False):
        methods = [name for name, part in vars(hint).items() if inspect.isfunction(part) and name[0] != "_"]
        return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)
    return isinstance(value, hint) and not (isinstance(value, str | Path) and "\0" in str(value))


def _limits(parts: tuple[Any, ...]) -> list[Limit]:
    """The bounds in the parts of an `Annotated`."""
    return [part for part in parts[1:] if isinstance(part, Limit)]


def _in_words(hint: Any) -> str:
    kind, parts = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, TypeVar):
        return _in_words(hint.__bound__)
    if kind is Annotated:
        limits = " and ".join(each.words.format(each.bound) for each in _limits(parts))
        return " ".join(filter(None, (_in_words(parts[0]), limits)))
    if kind in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_in_words(part) for part in parts))
    if kind is typing.Literal:
        return " or ".join(repr(part) for part in parts)
    if kind in (tuple, list, Sequence, Iterable):
        inner = [_in_words(part) for part in parts if part is not ...]
        return f"a sequence, each {' or '.join(dict.fromkeys(inner))}" if inner else "a sequence"
    if kind in (dict, Mapping):
        values = [] if not parts or parts[1] is Any else [_in_words(parts[1])]
        return "a dictionary" + "".join(f", each value {words}" for words in values)
    if hint in tensor_types():
        return "a tensor"
    if hint in _WORDS:
        return _WORDS[hint]
    return with_article(hint.__name__) if isinstance(hint, type) else "a function"
