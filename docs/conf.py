"""Sphinx's settings for the documentation site; `make docs` builds it."""

import re
import sys
from importlib.metadata import version as version_of
from pathlib import Path

from sphinx.ext.autodoc._dynamic import _loader
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.typing import get_type_hints

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import site_pages  # noqa: E402

project = "seenn-env"
author = "the seenn-env contributors"
project_copyright = "the seenn-env contributors, MIT licence"
version = release = version_of("seenn-env")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = f"seenn-env {release}"
myst_heading_anchors = 4
NAPOLEON = Config(napoleon_use_ivar=True)

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100


def plain_type_hints(thing, *rest, include_extras=False, **named):
    """Type hints of attributes in plain names: int, not its bounds."""
    return get_type_hints(thing, *rest, **named)


_loader.get_type_hints = plain_type_hints


def named_results(section: re.Match[str]) -> str:
    """The lines of a section of results by name as a list: Napoleon would take a name for a type."""
    lines = re.sub(r"\n {8,}", " ", section[0])
    return re.sub(r"^    (\w+): ", r"    - **\1** – ", lines, flags=re.MULTILINE)


def as_restructured_text(app, kind, name, thing, options, lines) -> None:
    """Rewrite a docstring: Markdown's literals get two backticks, Google's sections become fields."""
    text = "\n".join(lines)
    if "\n## " in text:  # an environment's, which is a page of its own
        text = text.split("\n## ")[0] + "\n\nIts page has spaces, rewards and arguments."
    text = re.sub(r"(?<=^Returns:\n)(?: {4}.*(?:\n|$))+", named_results, text, flags=re.MULTILINE)
    text = re.sub(r"^(\S.*)\n\n(?=    \S)", r"\1\n\n::\n\n", text, flags=re.MULTILINE)  # equations and examples
    words = re.split(r"(`+[^`]+`+)", text)
    words[::2] = [word.replace("|", r"\|") for word in words[::2]]
    words[1::2] = [f"``{word.strip('`')}``" for word in words[1::2]]
    text = re.sub(r"(?<=: )([A-Z])\.", r"\1\.", "".join(words))  # "T." would begin a list
    lines[:] = text.split("\n")
    if kind not in ("attribute", "data"):  # of those, words before a colon would become the type
        lines[:] = GoogleDocstring(lines, NAPOLEON, app, kind, name, thing, options).lines()


def short_types(app, kind, name, thing, options, signature, returns):
    """A signature in plain names: without the bounds of numbers and with `...` for a field's factory."""

    def short(text):
        text = re.sub(r"~?typing\.Annotated\[(\w+), [^\]]*\]", r"\1", text or "").replace("<factory>", "...")
        return re.sub(r"~(?:\w+\.)+", "", text)

    return (short(signature), short(returns) or None) if signature else None


def follow_links(app, name, content) -> None:
    """Links out of docs/ lead to the pages that show those files."""
    folder = (DOCS / name).parent
    content[0] = site_pages.relinked(content[0], folder, folder)


def setup(app) -> None:
    """Write the generated pages first."""
    site_pages.write(DOCS / "generated")
    app.connect("source-read", follow_links)
    app.connect("autodoc-process-signature", short_types)
    app.connect("autodoc-process-docstring", as_restructured_text)
