"""The exception for input that the caller can correct."""

from difflib import get_close_matches


class InputError(ValueError):
    """Bad input; the message has the expected value, the given one and the remedy."""


def unknown_name(kind: str, name: object, known: object) -> InputError:
    """The error for a `name` that is not among the `known` ones of a `kind`."""
    names = sorted(str(k) for k in known)  # type: ignore[attr-defined]
    hint = "".join(f" Did you mean {close!r}?" for close in get_close_matches(str(name), names, 1, cutoff=0.7))
    return InputError(f"Expected the name of a known {kind}, got {name!r}. Known: {', '.join(names)}.{hint}")
