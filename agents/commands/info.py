"""`seenn info`: the kind and the content of any file or folder of this program."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import tyro

import seenn_env.traces
from agents.commands.file_kinds import Facts, describe
from agents.commands.output import print_json
from agents.commands.stated_default import Stated
from backbones import InputError
from backbones.errors import printable
from backbones.packaged_files import BACKBONES


@dataclass(frozen=True)
class Info:
    """Describe files and folders of this program: kind, format, origin, size and content.

    It exits with 1 where one is not of this program, or damaged. Known are traces, policies, backbones, files of
    frames, caches of images, results of commands (complete or not), their figures in JSON, answers of classify, logs of
    TensorBoard, states of a training, unfinished recordings, ONNX exports, left-overs of commands that were killed, and
    folders of all these, as deep as they are.

    For example:

        seenn info digits cifar10-jpeg/ppo
    """

    files: tyro.conf.Positional[Stated[tuple[Path, ...]]]
    """Files, folders, or packaged names."""
    json: bool = False
    """Print one JSON object instead: "files" with the facts of each."""

    def run(self) -> None:
        """Print the facts of each; the sentences about others go to standard error."""
        if not self.files:
            raise InputError("Expected at least one file or folder, got none: name one after seenn info.")
        described, failed = [], False
        for name in self.files:
            try:
                found = [describe(path) for path in places(name)]
            except InputError as error:
                print(f"seenn: {error}", file=sys.stderr)
                failed = True
            else:
                described += found
                failed = failed or any("damaged" in facts for facts in found)
        if self.json:
            print_json({"files": described})
        elif described:
            print("\n\n".join("\n".join(_heading(facts)) for facts in described))
        if failed:
            sys.exit(1)


def places(name: Path) -> list[Path]:
    """The path, or the packaged files of that name."""
    if name.exists():
        return [name]
    from agents.policy_files import PACKAGED

    folders = (seenn_env.traces.PACKAGED, BACKBONES, PACKAGED)
    packaged = [file for folder in folders if (file := folder / f"{name}.safetensors").is_file()]
    if not packaged:
        raise InputError(f"Expected a file, a folder or a packaged name, found nothing at {name}.")
    return packaged


def _heading(facts: Facts) -> Iterator[str]:
    """Lines of text about one file or folder."""
    facts = dict(facts)
    version = f" ({facts.pop('format')})" if "format" in facts else ""
    yield f"{facts.pop('path')}: {facts.pop('kind')}{version}, {_readable(facts.pop('bytes'))}"
    yield from _lines(facts, "  ")


def _lines(facts: Facts, indent: str) -> Iterator[str]:
    for name, value in islice(facts.items(), _MOST_LINES):
        title = f"{indent}{_text(name)}:"
        if isinstance(value, dict) and value:
            yield title
            yield from _lines(value, indent + "  ")
        elif name == "accuracy" and isinstance(value, list):
            yield f"{title} " + "  ".join(f"t={t} {100 * right:.2f} %" for t, right in enumerate(value, 1))
        elif isinstance(value, list | tuple):
            shown = [_text(each) for each in value[:_SHOWN]] + ["…"] * (len(value) > _SHOWN)
            yield f"{title} {', '.join(shown) or 'none'}" + f" ({len(value)})" * (len(value) > _SHOWN)
        else:
            yield f"{title} {_text(value)}"
    if len(facts) > _MOST_LINES:
        yield f"{indent}… ({len(facts)})"


_SHOWN = 12
"""Entries of a list in text."""
_MOST_LINES = 200
"""Entries of a dictionary in text."""


def _text(value: Any) -> str:
    """A value of a file as text, in which nothing moves the cursor of a terminal."""
    if value is None or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_text, value))})"
    if isinstance(value, dict):
        return f"({', '.join(f'{_text(name)} {_text(each)}' for name, each in value.items())})"
    return printable(value)


def _readable(size: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{size} bytes"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.3g} GB"
