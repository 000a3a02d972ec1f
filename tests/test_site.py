"""The documentation site: its index, its generated pages and its check of links."""

import importlib.util
import json
import re
import runpy
from pathlib import Path

import pytest

from agents.commands.table import COMMANDS
from seenn_env.registration import REGISTERED
from tests.helpers.pages import DOCS, SITE
from tests.helpers.programs import ROOT, load_program, run_python

needs_sphinx = pytest.mark.skipif(
    importlib.util.find_spec("sphinx") is None, reason="Sphinx is not installed: pip install '.[docs]'"
)


@pytest.fixture(scope="module")
def site_pages():
    return load_program("docs/site_pages")


def test_the_index_names_every_page_once(site_pages):
    trees = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)
    listed = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    written = [str(page.relative_to(DOCS).with_suffix("")) for page in SITE if page.name != "index.md"]
    made = [
        "gallery",
        "commands",
        "tutorial",
        *site_pages.DOORS,
        *(name.removesuffix(".md") for name in site_pages.ELSEWHERE),
    ]
    assert sorted(listed) == sorted([*written, *(f"generated/{name}" for name in made)])


def test_the_gallery_has_a_moving_picture_of_every_environment(site_pages, tmp_path):
    text = site_pages.gallery(tmp_path)
    for name in REGISTERED:
        assert f"## `{name}`" in text
        picture = (tmp_path / f"{name.split('/')[1]}.gif").read_bytes()
        assert picture.startswith(b"GIF89a")
        assert b"NETSCAPE2.0" in picture  # it is animated


def test_the_page_of_commands_has_the_help_of_each(site_pages):
    text = site_pages.commands()
    for name in COMMANDS:
        assert f"## seenn {name}\n\n```text\nusage: seenn {name} " in text


def test_the_interface_has_every_name_of_the_front_doors(site_pages):
    for package in site_pages.DOORS:
        text = site_pages.interface(package)
        for name in __import__(package).__all__:
            assert re.search(rf"^\.\. auto\w+:: {package}\.{name}$", text, re.MULTILINE), name


def test_the_notebook_runs_and_prints_what_it_shows_but_for_digits():
    program = load_program("docs/run_notebook")
    notebook = json.loads(program.NOTEBOOK.read_text())
    again = program.executed(notebook)
    for cell, new in zip(notebook["cells"], again["cells"], strict=True):
        assert cell.get("execution_count") == new.get("execution_count")
        kinds, texts = [], []
        for each in (cell, new):
            kinds.append([output["output_type"] for output in each.get("outputs", [])])
            text = "".join(line for output in each.get("outputs", []) for line in output.get("text", []))
            texts.append(re.sub(r"[\d.+-]+|\s+", " ", text).split())
        assert kinds[0] == kinds[1]
        assert texts[0] == texts[1]
    assert sum("image/png" in o.get("data", {}) for cell in again["cells"] for o in cell.get("outputs", [])) == 1


def test_links_follow_a_page_to_another_folder(site_pages):
    text = "[a](policies/x.json) [b](../docs/results.md#top) [c](gpu/README.md) [d](gpu) [e](https://a.org) [f](#g)"
    text += " [h](../examples/tutorial.ipynb) [i](../docs/environments)"
    moved = site_pages.relinked(text, ROOT / "benchmarks", DOCS / "generated")
    assert moved == (
        "[a](../../benchmarks/policies/x.json) [b](../results.md#top) [c](gpu.md) d [e](https://a.org) [f](#g)"
        " [h](tutorial.md) [i](gallery.md)"
    )


def test_the_check_of_the_site_names_broken_links_anchors_and_lost_pages(tmp_path):
    broken = runpy.run_path(str(DOCS / "check_site.py"))["broken"]
    pages = {
        "index.html": '<a href="sub/a.html#here">a</a> <img src="none.png"> <a href="https://a.org/b">b</a>',
        "sub/a.html": '<p id="here"><a href="../index.html#nowhere">i</a></p>',
        "lost.html": '<a href="index.html">i</a>',
    }
    for name, text in pages.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert sorted(broken(tmp_path)) == [
        "index.html: none.png does not exist.",
        "lost.html: no page leads here.",
        "sub/a.html: ../index.html#nowhere has no such anchor.",
    ]


@needs_sphinx
@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    run_python("-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-b", "html", DOCS, Path(tmp_path) / "site")
    run_python(DOCS / "check_site.py", tmp_path / "site")
