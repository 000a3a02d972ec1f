"""The Python of a page of documentation, run as it stands."""

import ast
import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.helpers.programs import ROOT, load_program

DOCS = ROOT / "docs"
SITE = sorted(page for page in DOCS.rglob("*.md") if not {"generated", "_build"} & set(page.parts))
"""The written pages of the documentation site."""

SNIPPET = load_program("docs/render").SNIPPET


def run_page(page: Path, names: dict[str, Any], smaller: Mapping[str, str]) -> str:
    """Run a page's blocks in `names`, one after the other; stated outputs have to be right.

    Args:
        page: a Markdown file.
        names: variables that the page takes for granted; those that it makes are added.
        smaller: texts of long programs to texts of short ones; each has to occur.

    Returns:
        The output of all blocks.
    """
    text, outputs = page.read_text(), []
    for long, short in smaller.items():
        assert long in text, long
        text = text.replace(long, short)
    for code, expected in SNIPPET.findall(text):
        ast.parse(code)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(code, page.name, "exec"), names)
        if expected:
            assert output.getvalue() == expected
        outputs.append(output.getvalue())
    return "".join(outputs)
