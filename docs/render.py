"""Render the parts of pages that the code determines.

python docs/render.py             # a test fails when a page is stale

The pages of docs/environments and the list in docs/policies.md come from docstrings; a block of output below a block of
Python comes from running the page's Python.
"""

import contextlib
import inspect
import io
import os
import re
import sys
import tempfile
from pathlib import Path

from agents.policies import POLICIES
from seenn_env import ChooseTimestepEnv, EarlyExitEnv
from seenn_env.registration import REGISTERED, Registered

FOLDER = Path(__file__).parent / "environments"
POLICY_PAGE = Path(__file__).parent / "policies.md"
PAGES = {"early_exit.md": ("EarlyExit", EarlyExitEnv), "choose_timestep.md": ("ChooseTimestep", ChooseTimestepEnv)}
HEAD = "| policy | mean reward | accuracy | mean timesteps |\n| --- | --- | --- | --- |\n"


def scores_table(entry: Registered) -> str:
    """The reference scores of one registered environment."""
    scores = entry.scores
    rows = {"random actions": scores.random}
    rows |= {f"always timestep {t}": score for t, score in enumerate(scores.fixed, 1)}
    if scores.best_rule is not None:
        rows["best threshold rule"] = scores.best_rule
    rows["oracle"] = scores.oracle
    lines = (f"| {name} | {s.reward:.4f} | {s.accuracy:.4f} | {s.mean_timesteps:.4f} |" for name, s in rows.items())
    return HEAD + "\n".join(lines)


def page(title: str, environment: type) -> str:
    """One environment's page."""
    parts = [f"# {title}", "<!-- Written by docs/render.py from the docstring: edit that. -->"]
    parts += [inspect.getdoc(environment) or "", "## Reference Scores"]
    parts += [
        "Exact means over the rows of split `policy` of the packaged traces. The best rule is the best single "
        "threshold on confidence, margin or entropy, chosen on the same rows; the oracle knows the answers. "
        "`reward_threshold` is the best rule's reward or, where there is no rule, the best fixed timestep's."
    ]
    tables: dict[str, list[str]] = {}
    for name, entry in REGISTERED.items():
        if entry.entry_point.endswith(f":{environment.__name__}"):
            tables.setdefault(scores_table(entry), []).append(f"`{name}`")
    parts += [f"{', '.join(names)}:\n\n{table}" for table, names in tables.items()]
    return "\n\n".join(parts) + "\n"


def with_policies(text: str) -> str:
    """The page on policies, with the list of policies between its two marks."""
    before, rest = text.split("<!-- policies:")
    mark, after = rest.split(" -->", 1)[0], rest[rest.index("<!-- end of policies") :]
    rows = [f"| `{name}` | {(inspect.getdoc(kind) or '').splitlines()[0]} |" for name, kind in POLICIES.items()]
    return (
        f"{before}<!-- policies:{mark} -->\n\n" + "\n".join(["| policy | |", "| --- | --- |", *rows]) + "\n\n" + after
    )


SNIPPET = re.compile(r"^```python\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", re.DOTALL | re.MULTILINE)
"""A block of Python, and the output that the page states below it."""


def with_outputs(text: str) -> str:
    """A page with the outputs that it states made anew; its Python runs in an empty folder."""
    names: dict[str, object] = {}

    def run(match: re.Match[str]) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(match[1], names)
        return match[0] if match[2] is None else f"```python\n{match[1]}```\n\n```text\n{output.getvalue()}```"

    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            return SNIPPET.sub(run, text)
        finally:
            os.chdir(before)


def main() -> None:
    """Write every page."""
    sys.path.insert(0, str(FOLDER.parents[1]))  # a tutorial imports a program of examples/
    for file in [*FOLDER.parent.glob("*.md"), *FOLDER.parent.glob("tutorials/*.md")]:
        text = file.read_text()
        if any(output for _, output in SNIPPET.findall(text)):
            file.write_text(with_outputs(text))
            print(file)
    POLICY_PAGE.write_text(with_policies(POLICY_PAGE.read_text()))
    FOLDER.mkdir(exist_ok=True)
    for name, (title, environment) in PAGES.items():
        (FOLDER / name).write_text(page(title, environment))
        print(FOLDER / name)


if __name__ == "__main__":
    main()
