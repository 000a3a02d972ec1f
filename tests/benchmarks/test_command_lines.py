"""Commands that the benchmarks' scripts run exist with these options: their own parsers read them, and no more."""

import argparse
import os
import runpy
import shlex
import subprocess

import pytest
import tyro

from agents.main import parse
from tests.helpers.programs import ROOT, load_program


class OptionsRead(BaseException):
    """A program has read its options without an error."""


def check(arguments, monkeypatch):
    """Read what follows `python` in a command of seenn, or of one of the benchmarks."""
    if arguments[:2] == ["-m", "agents.main"]:
        parse(arguments[2:])
        return
    program, *options = arguments
    with monkeypatch.context() as patched:
        for owner, name in ((tyro, "cli"), (argparse.ArgumentParser, "parse_args")):
            patched.setattr(owner, name, ends_after(getattr(owner, name)))
        patched.setattr("sys.argv", [program, *options])
        patched.syspath_prepend((ROOT / program).parent)
        with pytest.raises(OptionsRead):
            runpy.run_path(str(ROOT / program), run_name="__main__")


def ends_after(read):
    """The function, and then the end of the program."""

    def reading(*arguments, **options):
        read(*arguments, **options)
        raise OptionsRead

    return reading


@pytest.mark.parametrize("dry", [False, True])
def test_the_parts_of_the_gpu_measurement(dry, tmp_path, monkeypatch):
    parts = load_program("benchmarks/gpu/measure").parts_of(
        tmp_path / "backbone.safetensors", tmp_path / "images", tmp_path, "cpu" if dry else "cuda", dry
    )
    assert len(parts) == (4 if dry else 6)
    for part in parts:
        check(part.command, monkeypatch)


@pytest.mark.parametrize("seed", [(), ("1",)])
def test_the_runs_of_the_reference_training(seed, tmp_path):
    said, python = tmp_path / "said", tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {said}\n')
    python.chmod(0o755)
    script = ROOT / "benchmarks" / "training" / "cifar10_reference.sh"
    there = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([script, tmp_path / "cifar10-jpeg", tmp_path / "out", *seed], env=there, check=True)
    commands = [shlex.split(line.partition("agents.main ")[2]) for line in said.read_text().splitlines()]
    trainings, recordings = (2, 1) if seed else (8, 2)
    assert [command[0] for command in commands] == ["train-backbone"] * trainings + ["record"] * recordings
    for command in commands:
        parse(command)
