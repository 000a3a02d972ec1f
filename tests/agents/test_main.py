"""The command line as a whole: help, version, suggestions, and the ends of a process that is stopped."""

import contextlib
import importlib
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings

import pytest
import torch
from PIL import Image

import agents
import agents.main
from agents.commands.table import COMMANDS
from agents.learners.perceptrons import make_perceptron
from agents.main import parse
from backbones import save
from backbones.argument_checks import check_fields
from tests.helpers.commands import refused, seenn
from tests.helpers.programs import run_python, start_python
from tests.helpers.recorded import small_backbone


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example_that_is_taken(command, capsys):
    with pytest.raises(SystemExit) as stop:
        seenn(command, "--help")
    assert stop.value.code == 0
    (example,) = re.findall(rf"^    (seenn {command} .*)", capsys.readouterr().out, re.MULTILINE)
    check_fields(parse(shlex.split(example)[1:]))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_states_one_default_for_an_option(command, capsys):
    with pytest.raises(SystemExit):
        seenn(command, "--help")
    text = " ".join(re.sub(r"[│|]", " ", capsys.readouterr().out).split())
    assert "(default" in text
    assert not re.search(r"\(default[^()]*\)\.? \(default", text)
    assert not re.search(r"None|default: *\)|[<>{}]\w*\)|\(\)|factory", text)


@pytest.mark.parametrize("command", ["classify", "watch"])
def test_the_help_names_every_rule_that_the_command_takes(command, capsys):
    from agents.policies import RULES

    with pytest.raises(SystemExit):
        seenn(command, "--help")
    text = " ".join(re.sub(r"[│|]", " ", capsys.readouterr().out).split())
    listed = re.split(r", | or ", re.search(r"of (?:a rule|rules): ([^.]*)\. ", text)[1])
    assert listed == [name for name, rule in RULES.items() if rule.fitted and "threshold" in vars(rule)]


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert run_python("-m", "agents.main", "--version")[0] == f"seenn {version('seenn-env')}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clasify"], "watch. Did you mean 'classify'?"),
        (["--import"], "the name of a module of yours after --import, got none"),
        (["train", "--algoritm", "dqn"], "got --algoritm. Did you mean '--algorithm'? See seenn train --help."),
        (["record", "--no_flipp"], "Did you mean '--no-flip'?"),
        (["train", "--traces", "a", "--output", "b", "--depth", "3"], "got --depth. See"),
        (["train"], "Expected --traces and --output, got none. See seenn train --help."),
        (["train", "--traces", "a", "--output", "b", "--seed", "x"], "a value of the right kind after --seed, got 'x'"),
        (["train", "--traces", "a", "--output", "b", "stray"], "options that begin with --, got stray. See"),
        (["train-backbone", "--output", "a", "--batch-size", "0"], "--batch-size"),
        (["watch", "--row", "None"], "Expected a value of the right kind after --row, got 'None'"),
        (["compare", "--traces", "digits", "--output", "a", "--rules", "marginn"], "Did you mean 'margin'?"),
    ],
)
def test_misspelt_arguments_are_one_sentence_with_a_suggestion(arguments, message, capsys):
    assert message in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quickstart", "--targets", "0.5"], "--targets from 1 to T = 8, got 0.5"),
        (["quickstart", "--targets", "1.5", "9"], "--targets from 1 to T = 8, got 1.5 9"),
        (["quickstart", "--targets"], "--targets from 1 to T = 8, got none"),
        (["quickstart", "--seeds", "0"], "--seeds to be a whole number of 1 or more, got 0"),
        (["quickstart", "--epochs", "0"], "--epochs to be a whole number of 1 or more, got 0"),
        (["quickstart", "--total-timesteps", "0"], "--total-timesteps to be a whole number of 1 or more, got 0"),
        (["quickstart", "--seed", "-1"], "--seed to be a whole number of 0 or more, got -1"),
        (["quickstart", "--device", "gpu"], "the name of a device"),
        (
            ["compare", "--traces", "digits", "--calibration", "digits", "--targets"],
            "--targets from 1 to T = 8, got none",
        ),
        (["compare", "--traces", "digits", "--seed", "-1"], "--seed to be a whole number of 0 or more, got -1"),
        (["train-backbone", "--seed", "-1"], "--seed to be a whole number of 0 or more, got -1"),
        (["benchmark", "--slots"], "at least one size of the slot pool, got none"),
        (["benchmark", "--slots", "0"], "--slots to be a sequence, each a whole number of 1 or more"),
        (["benchmark", "--rounds", "0"], "--rounds to be a whole number of 1 or more, got 0"),
        (["benchmark", "--device", "gpu"], "the name of a device"),
    ],
)
def test_numbers_out_of_range_are_refused_before_the_work(arguments, message, tmp_path, capsys):
    begin = time.process_time()
    assert message in refused(capsys, *arguments, "--output", tmp_path / "out")
    assert time.process_time() - begin < 10
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["compare", "--traces", "digits"]])
def test_a_closed_pipe_ends_the_command_quietly(arguments, tmp_path):
    output = ["--output", str(tmp_path / "out")] if arguments[0] == "compare" else []
    process = start_python("-m", "agents.main", *arguments, *output)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}])
def test_help_is_coloured_on_terminals_alone_and_errors_never(environment):
    ours, theirs = pty.openpty()
    for arguments in (["--help"], ["--seed", "x"]):
        process = subprocess.run(
            [sys.executable, "-m", "agents.main", "train", *arguments],
            env={**os.environ, "TERM": "xterm", **environment},
            stdout=theirs,
            stderr=subprocess.PIPE,
        )
        assert b"\x1b" not in process.stderr
    assert (b"\x1b" in os.read(ours, 100_000)) == (not environment)
    assert "\x1b" not in run_python("-m", "agents.main", "train", "--help")[0]


@pytest.mark.parametrize(
    ("arguments", "signal_", "then"),
    [
        (["train-backbone", "--epochs", "1000"], signal.SIGINT, "goes on from there"),
        (["classify", "--backbone", "BACKBONE", "--dataset", "digits", "--slots", "1"], signal.SIGTERM, "begins anew"),
    ],
    ids=["train-backbone", "classify"],
)
def test_ctrl_c_and_sigterm_at_work_are_one_line(arguments, signal_, then, tmp_path):
    backbone = tmp_path / "backbone.safetensors"
    save(small_backbone(), backbone)
    arguments = [backbone if argument == "BACKBONE" else argument for argument in arguments]
    output = [] if arguments[0] == "classify" else ["--output", str(tmp_path / "out")]
    process = start_python("-u", "-m", "agents.main", *arguments, *output)
    assert process.stdout.readline()  # the work has begun
    process.send_signal(signal_)
    assert process.communicate(timeout=60)[1] == f"seenn: stopped; the same command {then}.\n"
    assert process.returncode == 128 + signal_


def test_a_warning_for_the_user_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    with pytest.raises(SystemExit):
        seenn("--version")
    assert warnings.formatwarning("Odd.\n  Very.", UserWarning, "file.py", 3) == "seenn: Odd. Very.\n"
    assert "file.py:3: DeprecationWarning: Old." in warnings.formatwarning("Old.", DeprecationWarning, "file.py", 3)


@pytest.fixture
def heard():
    """Ctrl-C reaches Python, as in a terminal: a job of the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class _Failing:
    """A command that fails with an error after it received a signal, or without one."""

    def __init__(self, error, number=None):
        self.error, self.number = error, number

    def run(self):
        if self.number is not None:
            with contextlib.suppress(BaseException):
                signal.raise_signal(self.number)
        raise self.error


@pytest.mark.parametrize(
    ("error", "number", "code", "sentence"),
    [
        (ValueError("a buffer"), signal.SIGTERM, 143, "stopped; the same command"),
        (ValueError("a buffer"), signal.SIGINT, 130, "stopped; the same command"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"), None, 1, "a machine with more memory"),
        (RuntimeError("can't start new thread"), None, 1, "a machine with more memory"),
        (MemoryError(), None, 1, "a machine with more memory"),
    ],
)
def test_an_error_of_c_code_is_the_signal_or_the_memory_behind_it(
    error, number, code, sentence, capsys, monkeypatch, heard
):
    monkeypatch.setattr(agents.main, "parse", lambda _: _Failing(error, number))
    monkeypatch.setattr("backbones.argument_checks.check_fields", lambda *_: None)
    with pytest.raises(SystemExit) as stop:
        agents.main.main([])
    assert stop.value.code == code
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1


def test_a_policy_that_reads_an_own_observation_needs_its_module_imported(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_columns.py").write_text(
        "from seenn_env import make_observation\n\n\ndef mine(shape):\n    return make_observation('features', shape)\n"
    )
    monkeypatch.setitem(sys.modules, "own_columns", importlib.import_module("own_columns"))
    tensors = {**make_perceptron(4 + 6, hidden=(2,), seed=0), "mean": torch.zeros(6), "scale": torch.ones(6)}
    file = agents.save(agents.ExitNetwork(tensors, "own_columns:mine", 4), tmp_path / "policy.safetensors")
    del sys.modules["own_columns"]
    words = ("compare", "--traces", "digits", "--policies", f"own={file}", "--output", tmp_path / "out")
    assert "a file imports no module. Import yours first" in refused(capsys, *words)
    seenn("--import", "own_columns", "info", file)
    assert "own_columns:mine" in capsys.readouterr().out


def test_names_of_images_move_no_cursor_of_a_terminal(tmp_path, capsys, monkeypatch):
    for name in ("a\x1b[2J.png", "b.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "c\x1b[2J.png").touch()
    for terminal in (True, False):
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal, raising=False)
        with pytest.raises(SystemExit):
            seenn("classify", "--backbone", "digits", "--inputs", tmp_path, "--energy-images", 0)
        printed = capsys.readouterr().out
        assert ("\x1b" in printed) != terminal  # a program gets the name itself
        assert printed.count("\\x1b[2J.png") == 3 * terminal + (not terminal)


def test_odd_devices_and_variables_of_torchrun_are_one_sentence(tmp_path, capsys, monkeypatch):
    record = ("record", "--backbone", "digits", "--output", tmp_path / "out")
    assert "a device that computes" in refused(capsys, *record, "--device", "meta")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "x")
    assert "got x on this one" in refused(capsys, *record)


@pytest.mark.slow
def test_an_unknown_backend_of_matplotlib_is_one_sentence(tmp_path):
    words = ("compare", "--traces", "digits", "--output", tmp_path / "out")
    process = start_python("-m", "agents.main", *words, MPLBACKEND="none")
    errors = process.communicate()[1]
    assert process.returncode == 2
    assert "Unset MPLBACKEND" in errors
    assert errors.count("\n") == 1


def test_ctrl_c_twice_is_one_line(capsys, monkeypatch, heard):
    monkeypatch.setattr(agents.main, "parse", lambda _: _Failing(ValueError("a buffer"), signal.SIGINT))
    monkeypatch.setattr("backbones.argument_checks.check_fields", lambda *_: None)
    said = agents.main._say
    monkeypatch.setattr(agents.main, "_say", lambda text: (said(text), signal.raise_signal(signal.SIGINT)))
    with pytest.raises(SystemExit) as stop:
        agents.main.main([])
    assert stop.value.code == 130
    assert capsys.readouterr().err.count("\n") == 1
