"""The exception for input that the caller can correct."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input; the message has the expected value, the given one and the remedy."""


def unknown_name(kind: str, name: object, known: object) -> InputError:
    """The error for a `name` that is not among the `known` ones of a `kind`."""
    names = ", ".join(sorted(str(k) for k in known))  # type: ignore[attr-defined]
    return InputError(f"Expected the name of a known {kind}, got {name!r}. Known: {names}.")


@contextmanager
def users_own(expected: str) -> Iterator[None]:
    """Turn errors in the use of a user's own object into an `InputError` of the expectation that it fails."""
    try:
        yield
    except InputError:
        raise
    except (TypeError, ValueError, ImportError, AttributeError) as error:
        raise InputError(f"Expected {expected}, but {str(error).rstrip('.')}.") from error
