"""The pages of docs/, README.md and benchmarks/README.md: figures, links, commands, names and snippets are right."""

import importlib
import json
import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import agents
import backbones as bb
import seenn_env
from agents.main import parse
from tests.helpers.pages import DOCS, SITE, run_page
from tests.helpers.programs import needs_onnx
from tests.structure import ORDER

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
PAGES = sorted([*SITE, *BENCHMARKS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def names(pages):
    return [str(page.relative_to(ROOT)) for page in pages]


def test_tables_of_figures_are_rendered_from_the_result_files():
    figures = runpy.run_path(str(DOCS / "figures.py"))
    texts = {page: page.read_text() for page in DOCS.glob("*.md")}
    assert {name for text in texts.values() for _, name, _ in figures["BLOCK"].findall(text)} == set(figures["TABLES"])
    for page, text in texts.items():
        assert figures["rendered"](text) == text, f"{page.name}: run `make docs`"


def test_the_picture_of_the_results_shows_the_present_figures():
    found = json.loads((BENCHMARKS / "policies" / "policies.json").read_text())["backbones"]
    assert runpy.run_path(str(DOCS / "figures.py"))["digest"](found) in (DOCS / "images" / "results.svg").read_text()


def test_the_version_is_stated_alike_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"version = {{{version}}}" in (DOCS / "citing.md").read_text()
    assert f"## {version} " in (ROOT / "CHANGELOG.md").read_text()


def test_the_workflow_runs_targets_that_exist_and_publishes_their_results():
    text = (ROOT / ".github" / "workflows" / "publish.yml").read_text()
    workflow = yaml.safe_load(text.replace("\non:", "\n'on':"))  # a bare on is true in YAML
    assert workflow.keys() == {"name", "on", "jobs"}
    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    jobs = workflow["jobs"]
    steps = {name: job["steps"] for name, job in jobs.items()}
    for name, job in jobs.items():
        assert job.keys() <= {"runs-on", "needs", "environment", "permissions", "steps"}
        assert job.get("needs", "build") in jobs
        assert ("id-token" in job.get("permissions", {})) == ("environment" in job) == (name != "build")
        for step in job["steps"]:
            assert step.keys() in ({"run"}, {"uses"}, {"uses", "with"})
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v1)", step.get("uses", "a/b@v1"))
    targets = [step["run"].removeprefix("make ") for step in steps["build"] if step.get("run", "").startswith("make ")]
    makefile = (ROOT / "Makefile").read_text()
    assert targets == ["check", "docs", "dist"]
    assert set(targets) <= set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    given = {
        step["uses"].split("@")[0]: step.get("with", {}) for part in steps.values() for step in part if "uses" in step
    }
    assert given["actions/upload-artifact"] == given["actions/download-artifact"] == {"name": "dist", "path": "dist/"}
    site = given["actions/upload-pages-artifact"]["path"].rstrip("/")
    assert f"-b html docs {site}\n" in makefile
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert float(given["actions/setup-python"]["python-version"]) >= float(requires.removeprefix(">="))


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text()) < 8000


def test_the_results_page_and_the_learners_are_rendered_from_their_result_files(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS / "policies"))
    page = runpy.run_path(str(BENCHMARKS / "policies" / "results_page.py"))
    protocol = json.loads((BENCHMARKS / "policies" / "protocol.json").read_text())
    found = json.loads((BENCHMARKS / "policies" / "policies.json").read_text())["backbones"]
    assert page["page"](found, protocol) == (DOCS / "results.md").read_text()
    readme = (ROOT / "README.md").read_text()
    assert page["into_readme"](readme, found, protocol) == readme
    learners = runpy.run_path(str(BENCHMARKS / "policies" / "learners.py"))["table"]
    result = json.loads((BENCHMARKS / "policies" / "learners.json").read_text())
    assert f"<!-- learners -->\n{learners(result)}\n<!-- end" in (DOCS / "learners.md").read_text()


def test_the_quickstart_in_the_readme_is_that_of_its_result_file():
    found = json.loads((BENCHMARKS / "policies" / "quickstart.json").read_text())
    rows = {row["name"]: row for row in found["rows"]}
    lines = re.findall(r"^(.+?) +([\d.]+) \[.*\] +([\d.]+) ( *\d+){8}$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(lines) > 3
    for name, accuracy, timesteps, _ in lines:
        assert accuracy == f"{100 * rows[name]['accuracy']['estimate']:.2f}"
        assert timesteps == f"{rows[name]['mean_timesteps']:.3f}"


def test_every_result_file_and_every_command_is_listed_with_its_claim():
    text = (BENCHMARKS / "README.md").read_text()
    files = [*BENCHMARKS.rglob("*.json"), *BENCHMARKS.rglob("*.py"), *BENCHMARKS.rglob("*.sh")]
    parts = {"gpu": ("train.sh", "measure.sh"), "shift": ("shift.py", "shift.json")}
    for file in files:
        if file.name in parts.get(file.parent.name, (file.name,)):
            assert file.name in text, file


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_and_paths_of_a_page_exist(page):
    text = page.read_text()
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", text):
        file = page if not target else (page.parent / target)
        assert file.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-") for head in heads}, anchor
    for path in re.findall(
        r"\b(?:benchmarks|examples|tests|backbones|seenn_env|agents)/[\w/.-]*\.(?:py|sh|json|yml)\b", text
    ):
        assert (ROOT / path).exists(), path


def test_every_picture_is_shown_and_every_shown_picture_exists():
    text = "".join(page.read_text() for page in PAGES)
    shown = {Path(name) for name in re.findall(r"images/([\w-]+\.\w+)\b", text)}
    pictures = list((DOCS / "images").iterdir())
    assert shown == {Path(picture.name) for picture in pictures}
    assert sum(picture.stat().st_size for picture in pictures) < 1e6


def test_every_picture_has_the_command_that_makes_it():
    rows = [line.split(" | ") for line in (BENCHMARKS / "README.md").read_text().splitlines() if line.startswith("| ")]
    for picture in (DOCS / "images").iterdir():
        (command,) = {row[1] for row in rows if f"docs/images/{picture.name}" in row[-1]}
        program = re.match(r"`(?:python (docs/\w+\.py)|seenn )", command)
        stem = picture.stem.removeprefix("tensorboard-")
        assert stem in ((ROOT / program[1]).read_text() if program[1] else command), picture


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_the_commands_of_a_page_have_options_that_exist(page):
    text = page.read_text()
    lines = [block.replace("\\\n", " ") for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)]
    commands = [line for block in lines for line in block.splitlines() if line.startswith("seenn ")]
    if page.parent == BENCHMARKS:
        commands += re.findall(r"`(seenn [^`]+)`", text)
    for command in commands:
        parse(shlex.split(command, comments=True)[1:])


def test_docstrings_name_benchmarks_by_their_present_paths():
    for file in [*BENCHMARKS.rglob("*.py"), *BENCHMARKS.rglob("*.sh"), ROOT / "Makefile"]:
        for path in re.findall(r"\bbenchmarks/[\w/-]*\.(?:py|sh)\b", file.read_text()):
            assert (ROOT / path).exists(), (file, path)


def test_the_design_names_every_room_and_every_public_name():
    text = (DOCS / "design.md").read_text()
    for package, rooms in ORDER.items():
        table = text.split(f"| room of `{package}/` |")[1].split("\n\n")[0]
        assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == rooms
        (row,) = re.findall(rf"^\| `{package}` \| (.+) \|$", text, re.MULTILINE)
        assert sorted(re.findall(r"`(\w+)`", row)) == sorted(importlib.import_module(package).__all__)


def test_the_glossary_has_each_term_once():
    terms = re.findall(r"^\| ([^|]+) \|", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    terms = [term for term in terms if term not in ("term", "---")]
    assert len(terms) == len(set(terms)) > 50


class LeakyNet(torch.nn.Module):
    """A network of plain torch, one timestep a call."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(64, 16), torch.nn.Linear(16, 10)

    def forward(self, inputs, state=None):
        potential = self.first(inputs.flatten(1)) + (0 if state is None else 0.5 * state)
        spikes = (potential >= 0.1).float()
        return self.last(spikes), potential - 0.1 * spikes


class QCFS(torch.nn.Module):
    """Quantisation-clip-floor-shift of 4 levels."""

    def __init__(self) -> None:
        super().__init__()
        self.thresh, self.L = torch.nn.Parameter(torch.tensor([2.0])), 4

    def forward(self, x):
        return torch.floor(torch.clamp(x / self.thresh, 0, 1) * self.L + 0.5) / self.L * self.thresh


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """The names that pages take for granted, small."""
    monkeypatch.chdir(tmp_path)
    load, wrap, splits = bb.load_dataset, bb.wrap, bb.load_dataset("digits")
    monkeypatch.setattr(
        bb, "load_dataset", lambda name, *rest, **named: splits if name == "cifar10" else load(name, *rest, **named)
    )
    monkeypatch.setattr(bb, "wrap", lambda *given, **named: wrap(*given, framework="torch", **named))
    backbone = bb.build("small", num_classes=10, timesteps=4, input_shape=(1, 8, 8), width=4)
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, 16), QCFS(), torch.nn.Linear(16, 10)]
    return {
        "np": np,
        "splits": splits,
        "samples": splits.policy,
        "images": splits.policy.images[:40],
        "inputs": torch.rand(3, 1, 8, 8),
        "backbone": backbone,
        "network": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)),
        "net": LeakyNet(),
        "model": torch.nn.Sequential(*[torch.nn.ReLU() if type(each) is QCFS else each for each in layers]).eval(),
        "qcfs_model": torch.nn.Sequential(*layers).eval(),
        "IF": QCFS,
        "traces": seenn_env.Traces.load("digits").select("calibration"),
        "policy": agents.Margin(0.5),
        "frames": np.zeros((20, 2, 2, 4, 4), np.uint8),
        "labels": np.arange(20) % 2,
    }


ELSEWHERE = ("snntorch.md", "spikingjelly.md")
"""Pages whose snippets need a framework; the tests of its adapter run them."""
SNIPPETS = [page for page in SITE if "```python" in page.read_text() and page.name not in ELSEWHERE]
SMALLER = {
    "folder_to_onnx.md": {"epochs=30": "epochs=4"},
    "sb3.md": {"300_000": "32_768", "num_envs=1024": "num_envs=256"},
    "tensorboard.md": {"steps=300": "steps=40"},
    "rl_libraries.md": {"100_000": "1024", "num_envs=1024": "num_envs=64", "n_steps=16": "n_steps=4"},
    "start.md": {
        "epochs=30": "epochs=2",
        "repeats=20": "repeats=2",
        "=1.5)  # 2": "=1.5, total_timesteps=4096)  # 2",
    },
}
"""Long programs of pages, shortened."""


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[needs_onnx] if "onnx" in page.name else []) for page in SNIPPETS],
    ids=names(SNIPPETS),
)
def test_the_snippets_of_a_page_run_and_print_what_it_states(page, prepared):
    run_page(page, prepared, SMALLER.get(page.name, {}))


COMMANDS = [file for file in sorted(BENCHMARKS.rglob("*.py")) if "__main__" in file.read_text()]


@pytest.mark.parametrize("file", COMMANDS, ids=names(COMMANDS))
def test_every_command_of_the_benchmarks_explains_itself(file, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(file.parent))
    monkeypatch.setattr(sys, "argv", [file.name, "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(file), run_name="__main__")
    for name, module in list(sys.modules.items()):  # `images`, `weights`, … are names that others may have
        if str(getattr(module, "__file__", None) or "").startswith(str(BENCHMARKS)):
            del sys.modules[name]
    assert stop.value.code == 0
    assert "usage:" in capsys.readouterr().out.lower()
