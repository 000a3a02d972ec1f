"""The command in odd terminals and environments, by real processes: closed, narrow, ASCII, homeless."""

import os
import subprocess
import sys

import pytest

from agents.commands.table import COMMANDS

SEENN = [sys.executable, "-m", "agents.main"]
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
CLASSIFY = ["classify", "--backbone", "digits", "--dataset", "digits", "--energy-images", "20"]


def seenn(*arguments, shell="", bare=False, **environment):
    """The finished process of a command; `shell` redirects its streams, `bare` drops the environment."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ} if bare else os.environ
    script = f'exec "$@" {shell}'
    return subprocess.run(
        ["bash", "-c", script, "seenn", *SEENN, *map(str, arguments)],
        env={"PYTHONPATH": os.getcwd(), **kept, **environment},
        capture_output=True,
        timeout=300,
    )


def test_help_ends_in_a_terminal_of_one_column():
    process = seenn("headroom", "--help", COLUMNS="1")
    assert process.returncode == 0
    assert b"--traces" in process.stdout


def test_closed_streams_end_like_open_ones():
    process = seenn("--version", shell=">&- 2>&- <&-")
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", ["0", "1", "7", "39", "10000"])
def test_help_ends_at_every_width(name, columns):
    assert seenn(name, "--help", COLUMNS=columns).returncode == 0


@pytest.mark.slow
def test_answers_are_whole_with_a_closed_output(tmp_path):
    process = seenn(*CLASSIFY, "--output", tmp_path / "answers.csv", shell=">&-")
    assert process.returncode == 0
    assert process.stderr == b""
    assert (tmp_path / "answers.csv").read_text().count("\n") == 498


@pytest.mark.parametrize(
    ("arguments", "then"),
    [
        (["info", "digits"], "the same command begins anew"),
        (["watch", "--row", "0", "--output", "OUT.gif"], "the result, OUT.gif, is complete"),
        pytest.param(
            ["compare", "--traces", "digits", "--output", "OUT"], "the result, OUT, is complete", marks=pytest.mark.slow
        ),
        pytest.param(CLASSIFY, "the same command begins anew", marks=pytest.mark.slow),
        pytest.param([*CLASSIFY, "--output", "OUT.csv"], "the result, OUT.csv, is complete", marks=pytest.mark.slow),
    ],
)
def test_a_full_standard_output_is_one_sentence_about_the_result(arguments, then, tmp_path):
    for buffering in ("", "1"):
        out = f"{tmp_path}/out{buffering}"
        command = [part.replace("OUT", out) for part in arguments]
        process = seenn(*command, shell="> /dev/full", PYTHONUNBUFFERED=buffering)
        assert process.returncode == 1
        sentence = f"seenn: standard output: No space left on device; {then.replace('OUT', out)}.\n"
        assert process.stderr.decode() == sentence


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 3])
def test_head_ends_a_command_quietly(lines):
    process = seenn(*CLASSIFY, shell=f"| head -{lines}")
    assert process.stdout.count(b"\n") == lines
    assert b"Traceback" not in process.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [CLASSIFY, ["compare", "--traces", "digits"], ["train", "--traces", "digits", "--algorithm", "exact"]],
    ids=["classify", "compare", "train"],
)
def test_the_c_locale_and_no_home_change_nothing(arguments, tmp_path):
    for name, options in {"whole": {}, "ascii": ASCII, "bare": {"bare": True}}.items():
        process = seenn(*arguments, "--output", tmp_path / name, **options)
        assert process.returncode == 0, process.stderr
    for file in tmp_path.glob("whole/*.txt") if (tmp_path / "whole").is_dir() else [tmp_path / "whole"]:
        for other in ("ascii", "bare"):
            assert (tmp_path / other / file.relative_to(tmp_path / "whole")).read_bytes() == file.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [CLASSIFY, ["compare", "--traces", "digits"]], ids=["classify", "compare"])
def test_no_writable_temporary_folder_and_no_home_end_in_a_sentence_at_most(arguments, tmp_path):
    patched = "import tempfile\ntempfile._candidate_tempdir_list = lambda: ['/dev/null/t']\n"
    (tmp_path / "sitecustomize.py").write_text(patched)
    path = f"{tmp_path}:{os.getcwd()}"
    process = seenn(*arguments, "--output", tmp_path / "out", HOME="/dev/null", PYTHONPATH=path)
    assert b"Traceback" not in process.stderr
    assert process.returncode in (0, 1)
    said = process.stderr.splitlines()[-1:]
    assert process.returncode == 0 or said[0].startswith(b"seenn: Expected") or b"set the MPLCONFIGDIR" in said[0]


def test_variables_of_torchrun_without_the_others_are_one_sentence(tmp_path):
    process = seenn("record", "--backbone", "digits", "--output", tmp_path / "t", WORLD_SIZE="3")
    assert process.returncode == 2
    assert b"RANK" in process.stderr
    assert process.stderr.count(b"\n") == 1
