"""The answers of docs/tensorboard.md, read through TensorBoard's HTTP interface, are those of the table."""

import json
import re
import shlex

import pytest

from tests.helpers.commands import seenn
from tests.helpers.pages import DOCS
from tests.helpers.tensorboard_server import Server

POLICIES = ("ppo", "dqn", "exact", "confidence")
RULE = "per-timestep-margin"
TARGETS = ("1.2", "1.5", "2")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The folder of the page's comparison, made by the command that the page states."""
    folder = tmp_path_factory.mktemp("page") / "comparison"
    block = re.search(r"```bash\nseenn (compare .*?)```", (DOCS / "tensorboard.md").read_text(), re.DOTALL)
    arguments = shlex.split(block[1].replace("\\\n", " "))
    seenn(*arguments[: arguments.index("--output")], "--output", folder)
    return folder


def verdicts(differences):
    """Highest policy, its difference, and the policies below the rule, of `{policy: (estimate, low, high)}`."""
    best = max(differences, key=lambda policy: differences[policy][0])
    below = sorted(policy for policy, (_, _, high) in differences.items() if high < 0)
    estimate, low, high = differences[best]
    return best, f"{estimate:+.2f} [{low:+.2f}, {high:+.2f}]", "yes" if low > 0 else "no", ", ".join(below) or "–"


def test_the_answers_of_the_page_are_those_of_tensorboard_and_of_the_table(compared):
    stored = json.loads((compared / "comparison.json").read_text())
    assert stored["reference"] == RULE
    rows = {row["name"]: row for row in stored["rows"]}
    server = Server(compared / "tensorboard", runs=8)
    tags = ("compare/difference_points", "intervals/difference_points_low", "intervals/difference_points_high")
    assert set(server.scalars(RULE, tags[0]).values()) == {0}
    curves = {policy: [server.scalars(policy, tag) for tag in tags] for policy in POLICIES}
    answers = dict(
        re.findall(r"^\| ([\d.]+) \| (\w+ \| \+.*) \|$", (DOCS / "tensorboard.md").read_text(), re.MULTILINE)
    )
    assert tuple(answers) == TARGETS
    for target, answer in answers.items():
        logged, listed = {}, {}
        for policy in POLICIES:
            step = round(1000 * rows[f"{policy} @ {target}"]["mean_timesteps"])
            logged[policy] = tuple(curve[step] for curve in curves[policy])
            (each,) = (
                each
                for each in stored["differences"]
                if each["policy"] == f"{policy} @ {target}" and each["rival"] == f"{RULE} @ {target}"
            )
            listed[policy] = tuple(100 * each[end] for end in ("estimate", "low", "high"))
        assert " | ".join(verdicts(logged)) == " | ".join(verdicts(listed)) == answer


def test_the_p_values_of_the_page_are_those_of_the_table(compared):
    stored = json.loads((compared / "comparison.json").read_text())
    found = {(each["policy"], each["rival"]): each["adjusted_p"] for each in stored["differences"]}
    text = " ".join((DOCS / "tensorboard.md").read_text().split())
    for row, form in (("confidence @ 1.2", ".4f"), ("ppo @ 1.2", ".3f"), ("confidence @ 1.5", ".2f")):
        p = found[row, f"{RULE} @ {row.split()[-1]}"]
        assert f"{p:{form}} for {row.split()[0].replace('ppo', 'PPO')}" in text
    assert f"over the {len(found)} differences" in text
