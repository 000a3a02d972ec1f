"""Random command lines, in process: each ends with 0, or with 1 or 2 and one sentence, and never in a traceback."""

import os
import re
import tempfile
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.commands.table import COMMANDS
from agents.main import main
from tests.helpers.traces import make_traces

QUICK = {"classify", "compare", "record", "train", "watch", "convert"}
"""Commands that may do their work: the rest is refused beforehand, by an option that they do not have."""
NUMBERS = st.sampled_from(
    ["-1", "0", "1", "2", "0.5", "nan", "inf", "-inf", "1e30", "1e400", "18446744073709551616", "x"]
)
TEXTS = st.sampled_from(
    ["", "digits", "test", "policy", "margin", "exact", "linear", "cpu", "float16", "traces.safetensors", "missing"]
)
TEXTS |= st.sampled_from([".", "/dev/null", "junk.safetensors", "a/b", "é\n", "--", "{}", "a" * 300])
OUTPUTS = st.sampled_from(["out", "out.safetensors", "out.csv", ".", "traces.safetensors", "/dev/null/x", ""])


def flags(name):
    return ["--" + entry.name.replace("_", "-") for entry in fields(COMMANDS[name])] + ["--data-dir", "--no-such"]


@st.composite
def lines(draw):
    """A command line: some of a command's options with one or two values, and often those that it must have."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    line = [name]
    if draw(st.booleans()):
        line += {
            "compare": ["--traces", "traces.safetensors"],
            "train": ["--traces", "digits", "--algorithm", "exact"],
        }.get(name, ["--traces", "traces.safetensors"] if "--traces" in flags(name) else [])
        line += ["--backbone", "digits"] if "--backbone" in flags(name) else []
    for flag in draw(st.lists(st.sampled_from(flags(name)), max_size=4, unique=True)):
        values = OUTPUTS if flag == "--output" else NUMBERS | TEXTS
        line += [flag, *draw(st.lists(values, max_size=2))]
    return line if name in QUICK else [*line, "--no-such"]


def fuzz(count, capsys):
    """The command lines, of so many, that end in anything but their answer or one sentence."""
    found = {}

    @settings(max_examples=count, deadline=None, database=None, derandomize=True, suppress_health_check=HealthCheck)
    @given(lines())
    def run(line):
        code = 0
        try:
            main(line)
        except SystemExit as stop:
            code = stop.code
        error = capsys.readouterr().err
        if code not in (0, 1, 2) or "Traceback" in error or (code == 2 and error.count("\n") != 1):
            found[re.sub(r"\W|\d", "", error[-60:])] = f"{line}: {code}: {error[-300:]}"

    run()
    return list(found.values())


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_random_command_lines_end_in_an_answer_or_a_sentence(count, capsys, monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        make_traces(12).save("traces.safetensors")
        Path("junk.safetensors").write_bytes(os.urandom(100))
        found = fuzz(count, capsys)
        monkeypatch.undo()
    assert not found, "\n".join(found)
