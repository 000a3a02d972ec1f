"""Pages of the site that are made from the code: the gallery, the command line, the interface, and pages elsewhere."""

import contextlib
import importlib
import inspect
import io
import json
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import run_notebook

import agents
from agents.commands.table import COMMANDS
from agents.commands.watch import play, write_gif
from agents.main import parse
from seenn_env import rendering
from seenn_env.registration import REGISTERED

DOCS = Path(__file__).parent
ROOT = DOCS.parent

DOORS = {
    "backbones": ("networks", "data", "training", "conversion", "adapters", "contract", "energy"),
    "seenn_env": ("environments", "vector", "observations", "traces", "rendering", "sb3", "checking"),
    "agents": ("rules", "calibration", "learners", "comparison", "deployment"),
}
"""Packages and those of their rooms whose doors users need."""

ELSEWHERE = {
    "benchmarks.md": ROOT / "benchmarks" / "README.md",
    "gpu.md": ROOT / "benchmarks" / "gpu" / "README.md",
    "contributing.md": ROOT / "CONTRIBUTING.md",
    "security.md": ROOT / "SECURITY.md",
    "changelog.md": ROOT / "CHANGELOG.md",
    "data_licences.md": ROOT / "DATA-LICENSES.md",
}
"""Generated page to the file outside of docs/ that it shows."""

PLACES = ELSEWHERE | {"tutorial.md": run_notebook.NOTEBOOK, "gallery.md": DOCS / "environments"}
"""Generated page to the file or folder that links name, so that they lead somewhere in a clone too."""


def write(folder: Path) -> None:
    """Write every generated page to `folder`."""
    folder.mkdir(exist_ok=True)
    pages = {"gallery.md": gallery(folder), "commands.md": commands()}
    pages["tutorial.md"] = run_notebook.page(json.loads(run_notebook.NOTEBOOK.read_text()), folder)
    pages |= {f"{package}.md": interface(package) for package in DOORS}
    pages |= {name: relinked(file.read_text(), file.parent, folder) for name, file in ELSEWHERE.items()}
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def relinked(text: str, origin: Path, folder: Path) -> str:
    """A page of the folder `origin` as a page of `folder`: links follow, and those to folders become plain text."""

    def follow(match: re.Match[str]) -> str:
        words, target, anchor = match.groups(default="")
        file = (origin / target).resolve()
        shown = {place: DOCS / "generated" / name for name, place in PLACES.items()}.get(file, file)
        return words if shown.is_dir() else f"[{words}]({os.path.relpath(shown, folder)}{anchor})"

    return re.sub(r"\[([^\]]*)\]\((?!\w+:)([^)#\s]+)(#[^)]*)?\)", follow, text)


class FourTimesteps:
    """Chooses four timesteps for every image."""

    decides = "start"

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        """Timesteps less one."""
        return np.full(len(observation), 3), state


def gallery(folder: Path) -> str:
    """Every registered environment, with one episode as a GIF in `folder`."""
    parts = [
        "# Gallery",
        "One episode of every registered environment on the packaged data: a margin threshold of 0.5 decides when to "
        "exit, or, in ChooseTimestep, four timesteps are chosen at once. Bars are the probabilities of "
        "the classes, and below them the margin.",
    ]
    for name, entry in REGISTERED.items():
        own = {"observation": "features"} if entry.kwargs.get("observation") == "logits" else {}  # the rule reads these
        env: Any = gym.make(name, split="test", render_mode="rgb_array", **own).unwrapped
        picture = f"{name.split('/')[1]}.gif"
        episodes = play(env, FourTimesteps() if env.one_shot else agents.Margin(0.5), None, SEED)
        write_gif([rendering.rgb_array(episode) for episode in episodes], folder / picture, 1)
        page, title = PAGES[type(env).__name__]
        arguments = ", ".join(f"{key}={value!r}" for key, value in entry.kwargs.items())
        parts += [f"## `{name}`", f"[{title}](../environments/{page})" + (f", `{arguments}`" if arguments else "")]
        parts += [f"![An episode of {name}]({picture})"]
    return "\n\n".join(parts) + "\n"


SEED = 25
"""Of the episode's image."""
PAGES = {"EarlyExitEnv": ("early_exit.md", "EarlyExit"), "ChooseTimestepEnv": ("choose_timestep.md", "ChooseTimestep")}


def commands() -> str:
    """The help of every command."""
    parts = ["# Command line"]
    for name in COMMANDS:
        parts += [f"## seenn {name}", f"```text\n{help_of(name)}\n```"]
    return "\n\n".join(parts) + "\n"


def help_of(command: str) -> str:
    """The help text of a command, 100 columns wide."""
    text = io.StringIO()
    with (
        mock.patch.dict(os.environ, COLUMNS="100"),
        contextlib.redirect_stdout(text),
        contextlib.suppress(SystemExit),
    ):
        parse([command, "--help"])
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())


def interface(package: str) -> str:
    """The names at a package's door and at its rooms'."""
    parts = [f"# {package}"]
    for door in [package, *(f"{package}.{room}" for room in DOORS[package])]:
        module = importlib.import_module(door)
        names = [name for name in module.__all__ if door == package or not at_front(package, module, name)]
        if not names:
            continue
        if door != package:
            parts.append(f"## {door}")
        parts.append((module.__doc__ or "").strip().splitlines()[0])
        parts.append("```{eval-rst}\n" + "\n\n".join(directive(module, name) for name in names) + "\n```")
    return "\n\n".join(parts) + "\n"


def at_front(package: str, module: ModuleType, name: str) -> bool:
    """Whether the package's own door has that object too."""
    front = importlib.import_module(package)
    return name in front.__all__ and getattr(front, name) is getattr(module, name)


def directive(module: ModuleType, name: str) -> str:
    """Autodoc's directive for one name of a door; a table's docstring stands in the file that defines it."""
    thing, full = getattr(module, name), f"{module.__name__}.{name}"
    if inspect.isclass(thing):
        return f".. autoclass:: {full}\n   :members:"
    if callable(thing):
        return f".. autofunction:: {full}"
    stub = Path(module.__file__ or "").with_suffix(".pyi").read_text()
    (origin,) = re.findall(rf"^from \.([\w.]+) import .*\b{name}\b", stub, re.MULTILINE)
    return f".. autodata:: {module.__name__}.{origin}.{name}\n   :no-value:"
