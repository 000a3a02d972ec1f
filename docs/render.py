"""Render the parts of pages that the code determines.

python docs/render.py             # a test fails when a page is stale

The pages of docs/environments and the list in docs/policies.md come from docstrings; a block of output below a block of
Python comes from running the page's Python.

Letters: N rows, T timesteps.
"""

import contextlib
import inspect
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents.policies import POLICIES
from seenn_env import ChooseTimestepEnv, EarlyExitEnv, Traces, make_reward
from seenn_env.registration import REGISTERED, Registered
from seenn_env.rewards import Reward, pay

FOLDER = Path(__file__).parent / "environments"
POLICY_PAGE = Path(__file__).parent / "policies.md"
PAGES = {"early_exit.md": ("EarlyExit", EarlyExitEnv), "choose_timestep.md": ("ChooseTimestep", ChooseTimestepEnv)}
HEAD = "| policy | mean reward | accuracy | mean timesteps |\n| --- | --- | --- | --- |\n"


RULE_COLUMNS = {"confidence": 1, "margin": 1, "entropy": -1}
"""Feature to the sign of its threshold: exits at high values (1) or at low ones (-1)."""
_CANDIDATES = 1001


@dataclass(frozen=True)
class Score:
    """Means of a policy over rows."""

    reward: float
    accuracy: float
    mean_timesteps: float


@dataclass(frozen=True)
class ReferenceScores:
    """Scores of simple policies on the same rows."""

    random: Score
    """Uniform over the actions."""
    fixed: tuple[Score, ...]
    """`[T]` every row at the same timestep."""
    oracle: Score
    """The best timestep of each row, in hindsight: an upper bound."""
    best_rule: Score | None = None
    """The best threshold on confidence, margin or entropy, chosen on these rows; None for one-shot policies."""

    @property
    def solved(self) -> float:
        """The reward threshold: the best rule's, or the best fixed timestep's where that is higher."""
        best_fixed = max(score.reward for score in self.fixed)
        return best_fixed if self.best_rule is None else max(best_fixed, self.best_rule.reward)


def reference_scores(traces: Traces, reward: Reward, *, one_shot: bool = False) -> ReferenceScores:
    """The reference scores of `EarlyExit` on all rows, or (`one_shot`) of `ChooseTimestep`."""
    N, T = traces.correct.shape
    timestep = np.broadcast_to(np.arange(1, T + 1), (N, T))
    rewards = pay(reward, traces.correct, timestep, T, traces.energy()).astype(np.float64)

    values = (rewards, traces.correct, timestep)
    rows = np.arange(N)

    def score(exits: np.ndarray | int) -> Score:
        """Of exits `[N]`, from 0."""
        return Score(*(float(value[rows, exits].mean()) for value in values))

    chances = np.full(T, 1 / T) if one_shot else 0.5 ** np.minimum(np.arange(1, T + 1), T - 1)
    rules = () if one_shot else (score(exits) for exits in _rule_exits(traces))
    return ReferenceScores(
        random=Score(*(float(value.mean(0) @ chances) for value in values)),
        fixed=tuple(score(t) for t in range(T)),
        oracle=score(rewards.argmax(1)),
        best_rule=max(rules, key=lambda each: each.reward, default=None),
    )


def _rule_exits(traces: Traces) -> Iterator[np.ndarray]:
    """`[N]` exits, from 0, of each candidate threshold on each column."""
    columns, names = traces.columns("features"), traces.observation("features").names
    for name, sign in RULE_COLUMNS.items():
        values = sign * columns[:, :-1, names.index(name)]
        if not values.size:
            continue
        for threshold in np.unique(np.quantile(values, np.linspace(0, 1, _CANDIDATES))):
            exits = values >= threshold
            yield np.where(exits.any(1), exits.argmax(1), traces.timesteps - 1)


def scores_of(entry: Registered) -> ReferenceScores:
    """The reference scores of one registered environment."""
    traces = Traces.load(entry.kwargs.get("traces", "digits"), split="policy")
    reward = make_reward(entry.kwargs.get("reward", "seenn"))
    return reference_scores(traces, reward, one_shot=entry.entry_point.endswith(":ChooseTimestepEnv"))


def scores_table(scores: ReferenceScores) -> str:
    """A row a policy."""
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
            tables.setdefault(scores_table(scores_of(entry)), []).append(f"`{name}`")
    parts += [f"{', '.join(names)}:\n\n{table}" for table, names in tables.items()]
    return "\n\n".join(parts) + "\n"


def with_policies(text: str) -> str:
    """The page on policies, with the list of policies between its two marks."""
    before, rest = text.split("<!-- policies:")
    mark, after = rest.split(" -->", 1)[0], rest[rest.index("<!-- end of policies") :]
    rows = [f"| `{name}` | {(inspect.getdoc(kind) or '').splitlines()[0]} |" for name, kind in POLICIES.items()]
    return (
        f"{before}<!-- policies:{mark} -->\n\n"
        + "\n".join(["| policy | does |", "| --- | --- |", *rows])
        + "\n\n"
        + after
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
