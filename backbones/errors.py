"""The exception for input that the caller can correct."""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """Bad input; the message has the expected value, the given one and the remedy, in one line."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


def printable(text: object) -> str:
    """The text with escapes for all that would move the cursor of a terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(text))


def counted(count: int, noun: str) -> str:
    """The count and its noun: "1 row", "2 policies"."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"


def check_printable(texts: Iterable[str], name: str) -> None:
    """Raise an `InputError` for texts that would move the cursor of a terminal."""
    for text in texts:
        if not text.isprintable():
            raise InputError(f"Expected {name} of printable characters, got {text!r}: replace the others.")


def unknown_name(kind: str, name: object, known: object) -> InputError:
    """The error for a `name` that is not among the `known` ones of a `kind`."""
    names = sorted(str(k) for k in known)  # type: ignore[attr-defined]
    hint = did_you_mean(name, names)
    return InputError(f"Expected the name of a known {kind}, got {shown(name)}. Known: {', '.join(names)}.{hint}")


def did_you_mean(name: object, names: Iterable[str], cutoff: float = 0.7) -> str:
    """The question for the nearest of the `names` in any case, after a space; nothing where none is near."""
    spelled = {each.lower(): each for each in names}
    near = get_close_matches(str(name).lower(), spelled, 1, cutoff)
    return f" Did you mean {spelled[near[0]]!r}?" if near else ""


def no_file(kind: str, path: Path, advice: str = "") -> InputError:
    """The error for a path without a file."""
    there = f"got {path}, which is no regular file" if os.path.exists(path) else f"found nothing at {path}"
    found = f"got the folder {path}: name a file in it" if os.path.isdir(path) else there
    return InputError(f"Expected {kind}, {found}.{advice}")


def kind_of(value: object) -> str:
    """The class of a value, after a or an: "an AdaptedBackbone"; of a class: "the class Confidence"."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return with_article(type(value).__name__)


def shown(value: Any) -> str:
    """A value in a sentence: as it is written where that is short, else its kind, with the shape of an array."""
    if hasattr(value, "dtype") and value.shape:
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    text = repr(value)
    plain = len(text) <= 100 and not any(part in text for part in ("\n", " at 0x", "<class"))
    return text if plain else f"the function {value.__name__}" if hasattr(value, "__name__") else kind_of(value)


def with_article(name: str) -> str:
    """The name, after a or an."""
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} {name}"


USAGE_ERRORS = (TypeError, ValueError, ImportError, AttributeError)
"""Of an object that is used in another way than it was made for."""


@contextmanager
def refusing(expected: str, *, advice: str = "", errors: tuple[type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Turn exceptions of foreign code inside the block into an `InputError` with their first line."""
    try:
        yield
    except InputError:
        raise
    except errors as error:
        raise InputError(f"{expected}, but: {first_line(error)}.{advice}") from error


def damaged(kind: str, path: object) -> AbstractContextManager[None]:
    """`refusing` for the content of a file, which may be of any type and depth; `kind` names it: "a policy"."""
    errors = (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RuntimeError, *USAGE_ERRORS)
    return refusing(f"Expected {path} to be {kind} file", advice=" Make it anew.", errors=errors)


def users_own(expected: str) -> AbstractContextManager[None]:
    """`refusing` for the use of a user's own object, whose other errors are the user's."""
    return refusing(f"Expected {expected}", errors=USAGE_ERRORS)


def first_line(error: Exception) -> str:
    """The first line of an exception's text, without the mark at its end; its class where it has none."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return line.rstrip(".!") or type(error).__name__
