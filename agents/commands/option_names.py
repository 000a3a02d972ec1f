"""Spelling of a function's arguments as options of a command: image_size as --image-size, images=True as --images."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

_ALIASES = {"root": "--data-dir", "render_size": "--size"}
_VALUE = r"…|'[^']*'|[\w+-]+(?:\.\w+)*"
_BEGINNING = r"Expected $", r" (?:to be|to divide|from|between|below|above|of at most|of at least) "
_REFUSAL = r"Expected no $", r" (?:for|with|without|beside) "


def spelt_as_options(sentence: str, command: Any, commands: Iterable[Any], typed: Sequence[str]) -> str:
    """A sentence of the library, with the arguments that it names spelt as the options of a command.

    Names are replaced that have an underscore, a value, "set" before them, or a range after them at the beginning.

    Args:
        sentence: such as "Expected folds from 2 to 9, got 1."
        command: class of the command; None for none.
        commands: all classes, to one of which a flag such as energy=True belongs.
        typed: the user's command line, whose words stay as they are.
    """
    own = _flags(command) if is_dataclass(command) else {}
    own |= {name: flag for name, flag in _ALIASES.items() if flag in own.values()}
    every = {name: flag for each in commands for name, flag in _flags(each).items()} | own
    names = "|".join(sorted(every, key=len, reverse=True))
    pattern = rf"(?<![\w/.'\"-])(?P<verb>[Ss]et )?(?P<name>{names})(?:=(?P<value>{_VALUE}))?(?!\w|[./'\"]\w)"
    words = {match[0] for word in typed if not word.startswith("--") for match in re.finditer(pattern, word)}

    def replaced(match: re.Match[str]) -> str:
        verb, name, value = match.group("verb", "name", "value")
        flag, before, after = every[name], sentence[: match.start()], sentence[match.end() :]
        if match[0] in words or (name not in own and value not in ("True", "False")):
            return match[0]
        if value is not None:
            shown = {"True": flag, "False": flag.replace("--", "--no-")}
            return (verb or "") + shown.get(value, f"{flag} {value.strip(chr(39))}")
        if verb is not None and re.match(r"[.,;:)]|$", after):
            return f"{'P' if verb[0] == 'S' else 'p'}ass {flag}"
        is_first = any(re.match(begin, before) and re.match(then, after) for begin, then in (_BEGINNING, _REFUSAL))
        return f"{verb or ''}{flag}" if is_first or "_" in name else match[0]

    return re.sub(pattern, replaced, sentence.replace(" or None, got ", ", got "))


def _flags(command: Any) -> dict[str, str]:
    """A command's options by the names of their fields, those of its parts included."""
    flags: dict[str, str] = {}
    hints = get_type_hints(command, include_extras=True)
    for entry in fields(command):
        hint, flag = hints[entry.name], "--" + entry.name.replace("_", "-")
        bare = get_origin(hint) is Annotated  # tyro's mark for a part whose options have no prefix
        part = get_args(hint)[0] if bare else hint
        if is_dataclass(part):
            flags |= {name: each if bare else f"{flag}.{each[2:]}" for name, each in _flags(part).items()}
        else:
            flags[entry.name] = flag
    return flags
