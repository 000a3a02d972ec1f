"""Commands that are killed, or find the disk full, at any file operation: the same command ends with the same files."""

import os
import pickle
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import backbones as bb
from backbones.atomic import sole_writer
from backbones.hashing import hash_file
from seenn_env import Traces
from tests.helpers.event_files import events_of
from tests.helpers.faults import Fault, Nursery, Run
from tests.helpers.power import Journal, states, write_state
from tests.helpers.traces import make_traces

OTHER = {
    "record": ("--repeats", 2),
    "record-splits": ("--repeats", 2),
    "train-backbone": ("--seed", 1),
    "convert": ("--timesteps", 3),
    "train": ("--seed", 1),
    "train-ppo": ("--seed", 1),
    "compare": ("--seed", 1),
    "classify": ("--threshold", 0.5),
    "calibrate": ("--target-timesteps", 3),
    "export": ("--slots", 2),
    "headroom": ("--seed", 1),
    "quickstart": ("--seed", 1),
    "sweep": ("--seed", 1),
    "watch": ("--row", 1),
}
"""The commands, and an option with which each makes another result: the one that `--overwrite` replaces."""

OVERWRITE = " --overwrite"
EVERY = [name + how for name in OTHER for how in ("", OVERWRITE)]
QUICK = ("record", "convert", "classify")
KILLED = ("record", "record-splits", "train-backbone", "convert", "train", "train-ppo", "compare", "classify")
KILLS = 50
"""Kills of each command at random moments."""
PARTS = 40
"""Operations of quickstart: it is made of commands that are tried at all of theirs."""
STATES = 200
"""States of each command after a loss of power."""
SOME = 10
"""Operations of each command that fail alone, with another error than that of a full disk."""

CASES: list[Any] = [(name, 2) for name in QUICK]
CASES += [pytest.param(name, 10**9, marks=pytest.mark.slow) for name in EVERY if "quickstart" not in name]
CASES += [pytest.param("quickstart" + how, PARTS, marks=pytest.mark.slow) for how in ("", OVERWRITE)]
LOST: list[Any] = [(name, 3) for name in QUICK]
LOST += [pytest.param(name, PARTS if "quickstart" in name else STATES, marks=pytest.mark.slow) for name in EVERY]
FEW: list[Any] = [(name, 2) for name in QUICK]
FEW += [pytest.param(name, SOME, marks=pytest.mark.slow) for name in EVERY]


@dataclass
class Bench:
    """Inputs of the commands, and the process that forks them."""

    nursery: Nursery
    inputs: Path
    place: Path
    """Folder of the outputs."""
    rehearsed: set[str] = field(default_factory=set)

    def command(self, name: str, *options: object) -> list[object]:
        """A short command with its output in `place`."""
        name, overwrite = name.removesuffix(OVERWRITE), name.endswith(OVERWRITE)
        net, traces = self.inputs / "net.safetensors", self.inputs / "traces.safetensors"
        small = ("--policy-size", 40, "--calibration-size", 30)
        network = ("--timesteps", 1, "--width", 2, "--batch-size", 700, "--threads", 1)
        rules = ("--calibration", traces, "--targets", 1.5, "--rules", "confidence", "margin")
        sweep = ("--algorithms", "optimal-stopping", "--costs", 0.1, "--targets", 1.5, "--seeds", 1, "--workers", 0)
        images = [self.inputs / f"{number}.png" for number in range(3)]
        command: list[object] = {
            "record": ["record", "--backbone", net, "--split", "policy", *small, "--batch-size", 16, "--images"],
            "record-splits": ["record", "--backbone", net, "--split", "policy", "calibration", *small],
            "train-backbone": ["train-backbone", "--epochs", 2, *network, *small],
            "convert": ["convert", "--backbone", self.inputs / "qcfs.safetensors"],
            "train": ["train", "--traces", traces, "--algorithm", "optimal-stopping"],
            "train-ppo": ["train", "--traces", traces, "--total-timesteps", 100, "--log-dir", self.place / "log"],
            "compare": ["compare", "--traces", traces, "--split", "test", *rules],
            "classify": ["classify", "--backbone", net, "--energy-images", 0, "--inputs", *images],
            "calibrate": ["calibrate", "--traces", traces, "--policy", "margin"],
            "export": ["export", "--backbone", net],
            "headroom": ["headroom", "--traces", traces, "--targets", 1.5, "--folds", 2],
            "quickstart": ["quickstart", "--seeds", 1, "--epochs", 1, "--total-timesteps", 100, "--targets", 1.5],
            "sweep": ["sweep", "--traces", traces, *sweep],
            "watch": ["watch", "--traces", traces],
        }[name]
        own = {"convert": ("--timesteps", 2), "calibrate": ("--target-timesteps", 2), "export": ("--slots", 1)}
        own["watch"] = ("--row", 0)
        options = options or own.get(name, ())
        return [*command, *options, "--output", self.place / "out", *["--overwrite"] * overwrite]

    def run(self, name: str, **options: Any) -> Run:
        return self.nursery.run(self.command(name), below=self.place, **options)

    def fresh(self, state: Path | None = None) -> None:
        """An empty place, or a copy of a state."""
        shutil.rmtree(self.place, ignore_errors=True)
        if state is None:
            self.place.mkdir()
        else:
            shutil.copytree(state, self.place, symlinks=True)

    def before(self, name: str, folder: Path) -> Path:
        """The state that a command begins with: nothing, or another result and a file of the user's."""
        self.fresh()
        other = OTHER[name.removesuffix(OVERWRITE)] if name.endswith(OVERWRITE) else ()
        if name not in self.rehearsed:
            self.nursery.rehearse(self.command(name.removesuffix(OVERWRITE), *other))
            self.rehearsed.add(name)
            self.fresh()
        if other:
            run = self.nursery.run(self.command(name.removesuffix(OVERWRITE), *other), below=self.place)
            assert run.status == 0, run.errors
            out = self.place / "out"
            ((out if out.is_dir() else self.place) / "notes.txt").write_text("mine")
        shutil.copytree(self.place, folder)
        return folder

    def ends_with(self, name: str, files: dict[str, object]) -> bool:
        """Whether the same command after a fault succeeds, or finds a complete result, and these are the files."""
        run = self.run(name)
        said = any(words in run.errors for words in ("exists already", "holds a complete result", "recording already"))
        assert run.status == 0 or (run.status == 2 and said and OVERWRITE not in name), run.errors
        found = contents(self.place)
        if name == "train-ppo" + OVERWRITE:  # after one that finished, it is a second training, with a log of its own
            found = {path: content for path, content in found.items() if not path.startswith("log/ppo-seed0-2")}
        return found == files


def contents(place: Path, *, finished: bool = True) -> dict[str, object]:
    """All files by name; of TensorBoard's, what is read back from all of a folder, except times."""
    found: dict[str, object] = {}
    events = defaultdict(list)
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if ".tfevents." in name:
            events[path.parent].append(path)
        elif path.name == "complete":
            lines = path.read_text().splitlines() if finished else []
            assert all(hash_file(path.parent / line[66:]) == line[:64] for line in lines)
            found[name] = {line[66:].partition(".tfevents.")[0] for line in lines}
        else:
            found[name] = path.read_bytes() if path.is_file() else "folder"
    return found | {f"{folder.relative_to(place)}/tfevents": events_of(files) for folder, files in events.items()}


def stands(place: Path, old: dict[str, object], new: dict[str, object]) -> bool:
    """Whether the old result is whole, or the new one, be it in part in the folder that it moves from."""
    now = contents(place, finished=False)

    def whole(result: dict[str, object], *moved_from: str) -> bool:
        return all(
            any(now.get(name.replace("out/", folder, 1)) == content for folder in ("out/", *moved_from))
            for name, content in result.items()
            if name.startswith("out") and name != "out/complete" and content != "folder"
        )

    assert {name for name, content in now.items() if content == b"mine"} == {n for n in old if n.endswith("notes.txt")}
    return whole(old) or whole(new, "out/.new/")


def without_draws(found: dict[str, object]) -> dict[str, object]:
    """Files by name, without the letters of temporary names that are drawn."""
    return {re.sub(r"[0-9a-f]{8}\.tmp$", "tmp", name): content for name, content in found.items()}


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Iterator[Bench]:
    inputs = tmp_path_factory.mktemp("inputs")
    bb.save(bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=4), inputs / "net.safetensors")
    qcfs = {"type": "qcfs", "levels": 4}
    net = bb.build("small", num_classes=10, timesteps=1, input_shape=(1, 8, 8), width=4, neuron=qcfs, encoding="direct")
    bb.save(net, inputs / "qcfs.safetensors")
    parts = [make_traces(60, split=split) for split in ("policy", "calibration", "test")]
    Traces.merge(*parts).save(inputs / "traces.safetensors")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8)).astype(np.uint8)
        Image.fromarray(pixels).save(inputs / f"{number}.png")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, Nursery() as nursery:
        yield Bench(nursery, inputs, Path(folder, "place"))


def moments(count: int, most: int) -> list[int]:
    """Some of the operations 1…count, or all of them."""
    return sorted({int(at) for at in np.linspace(1, count, min(count, most))})


@pytest.mark.parametrize(("name", "most"), CASES)
def test_a_command_killed_before_a_file_operation_ends_with_the_same_files(bench, tmp_path, name, most):
    state, shots = bench.before(name, tmp_path / "state"), bench.place.with_name("shots")
    shutil.rmtree(shots, ignore_errors=True)
    bench.fresh(state)
    run = bench.run(name, fault="shots", shots=shots)
    assert run.status == 0, run.errors
    assert run.operations > 5
    old, new = contents(state), contents(bench.place)
    for at in moments(run.operations, most):
        shot = shots / str(at)
        if name.endswith(OVERWRITE):
            assert stands(shot, old, new), at
        bench.fresh(shot)
        assert bench.ends_with(name, new), at
    for at in moments(run.operations, 3):  # a kill is what the copies show
        bench.fresh(state)
        assert bench.run(name, fault="kill", at=at).status == -9
        killed, copied = (contents(place, finished=False) for place in (bench.place, shots / str(at)))
        assert without_draws(killed) == without_draws(copied), at
    print(f"{name}: killed before {len(moments(run.operations, most))} of {run.operations} file operations")


def test_a_loss_of_power_leaves_what_was_synced(tmp_path):
    (tmp_path / "out").write_bytes(b"old")
    journal = Journal(str(tmp_path))
    journal.note("open", tmp_path / "new")
    (tmp_path / "new").write_bytes(b"NEW!")
    journal.note("rename", tmp_path / "new")
    (tmp_path / "new").replace(tmp_path / "out")
    journal.note("end", tmp_path)
    before, left = {"out": b"old"}, (b"NEW!", b"", bytes(4), b"NE")
    unsynced = [before, *({**before, "new": content} for content in left), *({"out": content} for content in left)]
    found = [state for _, state in states(journal.moments)]
    assert all(found.count(state) == 1 for state in unsynced)
    assert len(found) == len(unsynced)

    (tmp_path / "out").write_bytes(b"old")
    journal = Journal(str(tmp_path))
    journal.note("open", tmp_path / "new")
    (tmp_path / "new").write_bytes(b"NEW!")
    journal.note("fsync", tmp_path / "new")
    journal.note("rename", tmp_path / "new")
    (tmp_path / "new").replace(tmp_path / "out")
    journal.note("fsync", tmp_path)
    journal.note("end", tmp_path)
    found = states(journal.moments)
    assert {"out": b""} not in [state for _, state in found]
    assert [state for at, state in found if at == len(journal.moments) - 1] == [{"out": b"NEW!"}]


@pytest.mark.parametrize(("name", "most"), LOST)
def test_a_command_after_a_loss_of_power_ends_with_the_same_files(bench, tmp_path, name, most):
    state, journal = bench.before(name, tmp_path / "state"), tmp_path / "journal"
    bench.fresh(state)
    run = bench.run(name, fault="journal", shots=journal)
    assert run.status == 0, run.errors
    old, new = contents(state), contents(bench.place)
    found = states(recorded := pickle.loads(journal.read_bytes()))
    for number in moments(len(found), most):
        at, left = found[number - 1]
        shutil.rmtree(bench.place)
        write_state(left, bench.place)
        if name.endswith(OVERWRITE):
            assert stands(bench.place, old, new), (number, at)
        if at == len(recorded) - 1:  # the command had ended
            there = contents(bench.place)
            assert all(there.get(path) == content for path, content in new.items() if path.startswith("out")), number
        assert bench.ends_with(name, new), (number, at)
    print(f"{name}: {len(moments(len(found), most))} of {len(found)} states after a loss of power")


def check_failure(bench: Bench, name: str, state: Path, fault: Fault, at: int, message: str, new: dict) -> bool:
    """One sentence, nothing lost, and the same command ends with the same files; whether the fault showed."""
    bench.fresh(state)
    run = bench.run(name, fault=fault, at=at)
    if run.status == 0:  # only the folder's names were not brought to the disk, which not every file system can
        assert contents(bench.place) == new, (fault, at)
        return False
    assert run.status in (1, 2), (fault, at, run)
    said = [line for line in run.errors.strip().splitlines() if not line.endswith("is taken.")]  # a missed target
    assert len(said) == 1, (fault, at, run.errors)
    assert message in said[0], (fault, at)
    folders = [
        path for path in bench.place.rglob("*") if path.is_dir() and ".new" not in path.parts
    ]  # still to replace
    empty = [path for path in folders if not any(path.iterdir())]
    assert not empty, (fault, at, empty)
    if name.endswith(OVERWRITE):
        assert stands(bench.place, contents(state), new), (fault, at)
    assert bench.ends_with(name, new), (fault, at)
    return True


@pytest.mark.parametrize(("name", "most"), CASES)
def test_a_disk_that_is_full_from_an_operation_on_is_one_sentence(bench, tmp_path, name, most):
    state = bench.before(name, tmp_path / "state")
    bench.fresh(state)
    count = bench.run(name, fault="full", at=10**9).operations
    new = contents(bench.place)
    message = "No space left on device"
    shown = [check_failure(bench, name, state, "full", at, message, new) for at in moments(count, most)]
    print(f"{name}: full from {len(shown)} of {count} operations on, said at {sum(shown)}")


@pytest.mark.parametrize(("name", "most"), FEW)
def test_an_operation_that_fails_alone_is_one_sentence(bench, tmp_path, name, most):
    state = bench.before(name, tmp_path / "state")
    faults: tuple[tuple[Fault, str], ...] = (
        ("ENOSPC", "No space left on device"),
        ("EIO", "Input/output error"),
        ("EACCES", "Permission denied"),
    )
    for fault, message in faults:
        bench.fresh(state)
        count = bench.run(name, fault=fault, at=10**9).operations
        new = contents(bench.place)
        shown = [check_failure(bench, name, state, fault, at, message, new) for at in moments(count, most)]
        print(f"{name}: {fault} at {len(shown)} of {count} operations alone, said at {sum(shown)}")


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_a_command_killed_at_random_moments_ends_with_the_same_files(bench, tmp_path, name):
    state, draws = bench.before(name, tmp_path / "state"), np.random.default_rng(0)
    bench.fresh(state)
    run = bench.run(name)
    new, killed = contents(bench.place), 0
    while killed < KILLS:
        bench.fresh(state)
        seconds = draws.random() * run.seconds
        killed += bench.run(name, seconds=seconds).status == -9
        assert bench.ends_with(name, new), seconds
    print(f"{name}: killed at {killed} random moments")


def test_two_commands_on_one_output_are_refused_and_the_next_runs(bench):
    bench.fresh()
    with sole_writer(bench.place / "out"):
        for name in OTHER:
            run = bench.run(name)
            assert run.status == 2, name
            assert "Another process is writing" in run.errors
    assert bench.run("convert").status == 0
    assert [path.name for path in bench.place.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "name", ["record", "convert", *(pytest.param(name, marks=pytest.mark.slow) for name in ("train", "compare"))]
)
def test_a_small_file_system_that_fills_up_is_one_sentence(bench, tmp_path, name):
    bench.before(name, tmp_path / "state")
    bench.fresh()
    assert bench.run(name).status == 0
    new = contents(bench.place)
    bench.fresh()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "none", str(bench.place)]
    if (refusal := subprocess.run(mount, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"no file system can be mounted here: {refusal.stderr.strip()}")
    try:
        run = bench.run(name)
        assert run.status in (1, 2), run
        assert len(run.errors.strip().splitlines()) == 1, run.errors
        assert "No space left on device" in run.errors
        subprocess.run(["mount", "-o", "remount,size=64m", str(bench.place)], check=True)
        assert bench.ends_with(name, new)
    finally:
        subprocess.run(["umount", str(bench.place)], check=True)


def test_odd_outputs_are_one_sentence_and_stay(bench):
    bench.fresh()
    (bench.place / "link").symlink_to(bench.place / "nothing")
    os.mkfifo(bench.place / "pipe")
    (bench.place / "file").write_text("mine")
    before = sorted(bench.place.iterdir())
    for name in OTHER:
        for place in ("link", "pipe", "file/out", "/dev/full"):
            arguments = [*bench.command(name)[:-1], bench.place / place, "--overwrite"]
            run = bench.nursery.run(arguments, below=bench.place)
            assert run.status in (1, 2), (name, place)
            assert len(run.errors.strip().splitlines()) == 1, (name, place, run.errors)
            assert sorted(bench.place.iterdir()) == before, (name, place)
