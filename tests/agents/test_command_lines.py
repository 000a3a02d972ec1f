"""Random command lines, in process: each ends with 0, or with 1 or 2 and one sentence, and never in a traceback."""

import os
import re
import shutil
import signal
import warnings
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import agents
import backbones as bb
from agents.commands.table import COMMANDS
from agents.main import main
from backbones.data.frame_file import save_frames
from seenn_env import Traces
from tests.helpers.recorded import full_traces, small_backbone
from tests.helpers.searches import repeatable
from tests.helpers.traces import make_traces

RIGHT = {
    "quickstart": {},
    "train-backbone": {"--output": ["out"], "--epochs": ["1"], "--width": ["2"], "--timesteps": ["1"]},
    "convert": {"--backbone": ["relu"], "--output": ["out"], "--timesteps": ["2"], "--images": ["8"]},
    "record": {"--backbone": ["backbone"], "--output": ["out"], "--split": ["test"]},
    "train": {"--traces": ["traces"], "--output": ["out"], "--algorithm": ["optimal-stopping"]},
    "calibrate": {"--policy": ["margin"], "--traces": ["traces"], "--output": ["out"], "--target-timesteps": ["2"]},
    "sweep": {
        "--traces": ["traces"],
        "--output": ["out"],
        "--algorithms": ["optimal-stopping"],
        "--workers": ["0"],
        "--seeds": ["1"],
        "--targets": ["2"],
    },
    "headroom": {"--traces": ["traces"], "--folds": ["2"], "--targets": ["1.5"]},
    "compare": {"--traces": ["traces"], "--output": ["out"], "--policies": ["a=policy"]},
    "classify": {"--backbone": ["backbone"], "--inputs": ["images/a.png"], "--energy-images": ["1"]},
    "export": {"--backbone": ["backbone"]},
    "watch": {"--traces": ["traces"], "--policy": ["margin"], "--output": ["out"]},
    "info": {"": ["traces", "policy", "backbone"]},
    "benchmark": {"--backbone": ["backbone"], "--slots": ["2"], "--rounds": ["1"], "--images": ["8"]},
}
"""Command lines that do their work in a moment."""
REFUSED = {"quickstart", "export"}
"""Commands that take long: their output is a file in the place of the folder, after the checks of the rest."""
SLOW = {"--workers", "--address", "--total-timesteps", "--epochs", "--seeds", "--download", "--compile"}
"""Options that make a command take its time, or reach for other machines."""
FILES = ["traces", "policy", "backbone", "relu", "frames", "one-shot", "other-traces", "images", "images/a.png", "text"]
FILES += ["empty", "fifo", "missing", ".", "/dev/null", "a/b", "cut", "digits", "digits/ppo", "other-policy"]
NUMBERS = ["-1", "0", "1", "2", "0.5", "nan", "inf", "-inf", "1e30", "1e400", "18446744073709551616", "x"]
TEXTS = ["", "test", "policy", "margin", "exact", "linear", "cpu", "float16", "é\n", "--", "{}", "a" * 300, "a=policy"]
TEXTS += ["a=text", "features", "hidden", "cost", "folder", "frames", "noise", "percentile", "one-shot", "ppo"]


def make_files():
    """Small files of every kind, and others, in this folder."""
    splits = [make_traces(12, split=split, seed=seed) for seed, split in enumerate(("policy", "calibration", "test"))]
    Traces.merge(*splits).save("traces")
    full_traces().save("other-traces")
    bb.save(small_backbone(2), "backbone", class_names=tuple("abcdefghij"))
    bb.save(bb.build("small", num_classes=10, timesteps=1, input_shape=(1, 8, 8), neuron="relu", width=2), "relu")
    agents.save(agents.train("exact", splits[0], steps=1, hidden=(2,)), "policy")
    agents.save(agents.train("exact", make_traces(12, T=3), steps=1, hidden=(2,)), "other-policy")
    agents.save(agents.train("one-shot", full_traces(), epochs=1, width=2), "one-shot")
    save_frames(
        Path("frames.safetensors"), np.zeros((4, 2, 1, 8, 8), np.uint8), np.arange(4) % 2, class_names=("a", "b")
    )
    Path("frames.safetensors").rename("frames")
    Path("images").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("images/a.png")
    Path("images/b.png").write_text("no image")
    Path("text").write_text("some text\n")
    Path("empty").touch()
    Path("cut").write_bytes(Path("traces").read_bytes()[:-50])


def flags(command):
    """Each option of a command, those of its parts included, and its annotation."""
    hints = get_type_hints(command, include_extras=True)
    known = {"--" + entry.name.replace("_", "-"): hints[entry.name] for entry in fields(command)}
    return known | {
        flag: kind
        for hint in get_type_hints(command).values()
        if is_dataclass(hint)
        for flag, kind in flags(hint).items()
    }


def values(hint):
    """Values of an option, by its annotation as text: of the right kind, though mostly not of the right content."""
    text = str(hint)
    if hint is bool:
        return st.just([])
    numbers = NUMBERS[:4] if "int" in text else NUMBERS
    kinds = numbers if "int" in text or "float" in text else FILES if "Path" in text else FILES + TEXTS
    return st.lists(st.sampled_from(kinds), min_size=1, max_size=2 if "tuple" in text else 1)


ANY = st.lists(st.sampled_from(FILES + NUMBERS + TEXTS), max_size=2)


@st.composite
def lines(draw):
    """A command line that is right, except for up to three of its options."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    options = {**RIGHT[name]}
    known = {"": tuple[Path, ...], "--no-such": bool, **flags(COMMANDS[name])}
    some = st.sampled_from(sorted(known.keys() - SLOW)) | st.sampled_from([*RIGHT[name], "--output"])
    for flag in draw(st.lists(some, max_size=3)):
        options[flag] = draw(ANY if draw(st.integers(0, 9)) == 0 else values(known.get(flag, Path)))
    options |= {"--output": ["text"]} if name in REFUSED else {}
    return [name, *(part for flag, given in options.items() for part in ([flag] if flag else []) + given)]


def fuzz(count, capsys, folder, right):
    """The command lines, of so many, that end in anything but their answer or one sentence; notes the right ones."""
    found = {}

    def late(*_):
        raise TimeoutError("the command takes too long")

    @repeatable(count)
    @given(lines())
    def run(line):
        shutil.rmtree(folder / "used", ignore_errors=True)
        shutil.copytree(folder / "made", folder / "used")
        os.chdir(folder / "used")
        os.mkfifo("fifo")
        code = 0
        signal.setitimer(signal.ITIMER_REAL, 60)
        try:
            main(line)
        except SystemExit as stop:
            code = stop.code
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        error = capsys.readouterr().err
        right.update([line[0]] if code == 0 else [])
        if code not in (0, 1, 2) or "Traceback" in error or (code == 2 and error.count("\n") != 1):
            found[re.sub(r"\W|\d", "", error[-60:])] = f"{line}: {code}: {error[-300:]}"

    signal.signal(signal.SIGALRM, late)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # of NumPy
        run()
    return list(found.values())


@pytest.mark.parametrize("count", [100, pytest.param(1500, marks=pytest.mark.slow)])
def test_random_command_lines_end_in_an_answer_or_a_sentence(count, capsys, monkeypatch, tmp_path):
    (tmp_path / "made").mkdir()
    monkeypatch.chdir(tmp_path / "made")
    make_files()
    right = set()
    found = fuzz(count, capsys, tmp_path, right)
    monkeypatch.undo()
    assert not found, "\n".join(found)
    assert count < 1000 or right == set(COMMANDS) - REFUSED
