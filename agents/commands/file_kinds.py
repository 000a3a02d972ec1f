"""The kinds of files and folders of this program, and the facts of each."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import agents
import backbones as bb
import seenn_env.traces
from agents.commands.classify import COLUMNS
from agents.commands.output import COMPLETE, EVENTS, NEW, SETTINGS, check_complete, spelt
from backbones import InputError, data
from backbones.array_files import map_arrays
from backbones.errors import refusing
from seenn_env import Traces

Facts = dict[str, Any]
"""Of a file or folder: values, lists and dictionaries by name, as JSON has them."""
_MOST = 10_000
"""Paths in a folder that are described."""


def describe(path: Path) -> Facts:
    """Path, kind, size in bytes and further facts of a file or a folder.

    Raises:
        InputError: for one of no known kind, or a damaged one.
    """
    found = Found(path)
    with refusing(f"Expected a file or folder that is whole, got {path}"):
        for kind in KINDS:
            if kind.fits(found):
                about = {"format": found.format} if found.format else {}
                return {"path": str(path), "kind": kind.name, **about, "bytes": found.size, **kind.facts(found)}
    raise InputError(f"Expected a file or folder of this program, got {path}, which is none.")


@dataclass(frozen=True)
class Found:
    """A file or a folder, and a look inside."""

    path: Path

    @cached_property
    def names(self) -> set[str]:
        """Names of the files in a folder or a ZIP archive, or of the arrays of a safetensors file."""
        if self.path.is_dir():
            return {file.name for file in self.path.iterdir()}
        if self.path.is_file() and zipfile.is_zipfile(self.path):
            with zipfile.ZipFile(self.path) as archive:
                return set(archive.namelist())
        return set(self._safetensors[0])

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Of a safetensors file."""
        return self._safetensors[0]

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """Of a safetensors file."""
        outer = self._safetensors[1]
        inner: dict[str, Any] = json.loads(outer["seenn_env"]) if "seenn_env" in outer else outer
        return inner

    @property
    def format(self) -> str:
        """Name and version of a format of ours, or nothing."""
        return str(self.metadata.get("format", ""))

    @property
    def size(self) -> int:
        """Bytes, of a folder those of the files `inside`."""
        files = map(self.path.joinpath, self.inside) if self.path.is_dir() else [self.path]
        return sum(file.stat().st_size for file in files if os.path.isfile(file))

    @cached_property
    def inside(self) -> list[Path]:
        """Paths in a folder, at all depths, each folder before its content; the first `_MOST`."""
        walk = (
            Path(folder, name).relative_to(self.path)
            for folder, folders, files in os.walk(self.path)
            for name in [*folders, *files]
        )
        return sorted(islice(walk, _MOST))

    @cached_property
    def content(self) -> Facts:
        """Kinds of the files and folders in a folder by their paths, and sentences about damaged ones; else nothing."""
        kinds: dict[str, str] = {}
        damaged: dict[str, str] = {}
        known: set[Path] = set()
        for path in self.inside:
            if known.isdisjoint(path.parents):
                name, found = path.as_posix(), Found(self.path / path)
                try:
                    kind = next((kind for kind in KINDS[:-1] if kind.fits(found)), None)
                except InputError as error:
                    damaged[name] = str(error)
                    continue
                except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):  # another program's
                    continue
                if kind is not None:
                    kinds[name] = ": ".join(filter(None, (kind.name, _leftover(found))))
                    known.add(path)
        facts: Facts = {"files": kinds, "damaged": damaged} if damaged else {"files": kinds} if kinds else {}
        if facts and len(self.inside) == _MOST:
            facts["more"] = f"only the first {_MOST} paths are described"
        return facts

    def json(self, name: str) -> dict[str, Any]:
        """The object in a JSON file of a folder; nothing where there is none."""
        if not (self.path / name).is_file():  # the reader of a pipe would wait
            return {}
        try:
            content = json.loads((self.path / name).read_text())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    @property
    def first_line(self) -> str:
        """Of a file of text."""
        if not self.path.is_file():
            return ""
        with self.path.open("rb") as file:
            return file.readline(1000).decode(errors="replace").rstrip("\r\n")

    @cached_property
    def figures(self) -> dict[str, Any]:
        """The object in a JSON file, or in that of a comparison in the folder."""
        if self.path.is_dir():
            return self.json("comparison.json") or self.json("comparison/comparison.json")
        return self.json("") if self.path.suffix == ".json" else {}

    @cached_property
    def files(self) -> tuple[list[str], list[str]]:
        """Paths of the files in a folder, and the runs of TensorBoard in it ("." is the folder itself)."""
        inside = [path for path in self.inside if os.path.isfile(self.path / path)]
        runs = {path.parent.as_posix() for path in inside if re.fullmatch(EVENTS, path.name)}
        return sorted(path.as_posix() for path in inside if not re.fullmatch(EVENTS, path.name)), sorted(runs)

    @cached_property
    def _safetensors(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        if not self.path.is_file() or _leftover(self):
            return {}, {}
        with self.path.open("rb") as file:
            if file.read(9)[8:] != b"{":
                return {}, {}
        arrays, metadata, *_ = map_arrays(self.path, kind="a file of this program")
        return arrays, metadata


@dataclass(frozen=True)
class Kind:
    """One kind of file or folder."""

    name: str
    fits: Callable[[Found], bool]
    facts: Callable[[Found], Facts]


def _traces(found: Found) -> Facts:
    traces = Traces.load(found.path)
    splits = {}
    for name in traces.split.split("+"):
        part = traces.select(name)
        splits[name] = {
            "samples": len(np.unique(part.sample)),
            "rows": len(part),
            "accuracy": part.accuracy.tolist(),
            "average_earliest_time": part.aet,
        }
    columns = [name for name in seenn_env.traces.ROW_FIELDS if getattr(traces, name) is not None]
    sizes = {"timesteps": traces.timesteps, "num_classes": traces.num_classes}
    known = {"dtype": traces.logits.dtype.name, "columns": columns, "images": traces.images is not None}
    return {**sizes, "splits": splits, **known, **traces.info}


def _policy(found: Found) -> Facts:
    policy: Any = agents.load(found.path)
    facts = json.loads(found.metadata["config"])
    made = json.loads(found.metadata.get("about", "{}"))
    return {"class": facts.pop("kind"), "observation": str(policy.observation), **made, **facts}


def _backbone(found: Found) -> Facts:
    network = bb.load(found.path)
    facts = {**network.config, "parameters": sum(each.numel() for each in network.parameters())}
    origin = {"fingerprint": network.fingerprint, "class_names": network.class_names, "division": network.division}
    return {**facts, **{name: value for name, value in origin.items() if value}}


def _frames(found: Found) -> Facts:
    whole = data.read_frames(found.path)
    facts = {"shape": list(whole.images.shape), "dtype": whole.images.dtype.name, "class_names": whole.class_names}
    if whole.split is None:
        return facts
    counts = np.bincount(whole.split, minlength=len(data.SPLITS)).tolist()
    return {**facts, "splits": dict(zip(data.SPLITS, counts, strict=True))}


def _cache(found: Found) -> Facts:
    images = found.arrays["rows"]
    source, _ = found.path.stem.rsplit("-", 1)
    return {"source": source, "shape": list(images.shape), "dtype": images.dtype.name}


def _training(found: Found) -> Facts:
    import torch

    content = io.BytesIO(found.arrays["state"].tobytes())
    state = torch.load(content, map_location="cpu", weights_only=True)
    network, settings, start, *_ = json.loads(state["run"])
    done = {"epochs_done": len(state["losses"]), "optimizer_steps": state["steps"], "losses": state["losses"]}
    best = {"best_accuracy": state["best_accuracy"]} if state["best"] is not None else {}
    return {**done, **best, "network": network, "settings": settings, "fingerprint_at_start": start}


def _recording(found: Found) -> Facts:
    done = seenn_env.traces.batches_done(found.path)
    settings = found.json(SETTINGS)
    rows = next(iter(settings["shapes"].values()))[0]
    progress = {"batches_done": int(done.sum()), "batches": len(done), "rows": rows, "advice": _CONTINUE}
    return {**progress, **{name: value for name, value in settings.items() if name != "samples"}}


def _answers(found: Found) -> Facts:
    classes: Counter[str] = Counter()
    timesteps = confidence = problems = 0.0
    with found.path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, strict=True):
            if row["problem"]:
                problems += 1
            else:
                classes[row["class"]] += 1
                timesteps += int(row["timesteps"])
                confidence += float(row["confidence"])
    images = classes.total()
    means = {"mean_timesteps": timesteps / images, "mean_confidence": confidence / images} if images else {}
    return {"images": images, "broken": int(problems), **means, "classes": dict(classes.most_common())}


def _result(found: Found) -> Facts:
    settings = found.json(SETTINGS)
    files, runs = found.files
    check_complete(found.path)
    kept = [name for name in files if name not in (SETTINGS, COMPLETE)]
    facts = {"command": spelt(str(settings.pop("command"))), "complete": COMPLETE in found.names, "files": kept}
    facts |= {"tensorboard_runs": runs} if runs else {}
    if COMPLETE not in found.names:
        facts["advice"] = _CONTINUE
    elif (found.path / NEW / SETTINGS).exists():
        facts["advice"] = f"{NEW} holds a new result: the same command with --overwrite completes it, or delete {NEW}"
    return {**facts, **settings, **({"comparison": _comparison(found)} if found.figures else {})}


def _comparison(found: Found) -> Facts:
    content = found.figures
    facts = {name: content[name] for name in ("dataset", "split", "samples", "timesteps")}
    _check_numbers(content, [row["mean_timesteps"] for row in content["rows"]])
    if len({row["name"] for row in content["rows"]}) < len(content["rows"]):
        raise ValueError("two rows have one name")
    rows = {row["name"]: f"{_percent(row['accuracy'])} at {row['mean_timesteps']:.3f}" for row in content["rows"]}
    return {**facts, "best_rule": content["reference"], "accuracy_at_timesteps": rows, **content["provenance"]}


def _headroom(found: Found) -> Facts:
    content = found.figures
    _check_numbers(content, content["targets"])
    names = [f"{target:g} timesteps" for target in content["targets"]]
    accuracy = dict(zip(names, map(_percent, content["confidence"]), strict=True))
    gains = {
        f"points_gained_by_{policy}": dict(zip(names, (_percent(each, "+") for each in intervals), strict=True))
        for policy, intervals in content["gains"].items()
    }
    return {**{name: content[name] for name in ("split", "samples", "folds")}, "confidence": accuracy, **gains}


def _check_numbers(content: Facts, mean_timesteps: list[Any]) -> None:
    """Raise a `ValueError` for impossible numbers of a comparison or a headroom."""
    counts = [content["samples"], content.get("timesteps", 1)]
    if not all(type(count) is int and count >= 1 for count in counts):
        raise ValueError(f"{counts} samples and timesteps are impossible")
    most = content.get("timesteps", math.inf)
    if not mean_timesteps or not all(1 <= mean <= most and mean < math.inf for mean in mean_timesteps):
        raise ValueError("its mean timesteps are impossible")


def _percent(interval: Facts, sign: str = "") -> str:
    least = -1 if sign else 0
    if not least <= interval["low"] <= interval["high"] <= 1 or not least <= interval["estimate"] <= 1:
        raise ValueError(f"the interval {interval} is impossible")
    estimate, low, high = (f"{100 * interval[end]:{sign}.2f}" for end in ("estimate", "low", "high"))
    return f"{estimate}{'' if sign else ' %'} [{low}, {high}]"


def _speeds(found: Found) -> Facts:
    content = found.figures
    rates = {
        f"images_per_second_in_{size}_slots": {
            name: each["images_per_second"][1] for name, each in about["contenders"].items()
        }
        for size, about in content["slots"].items()
    }
    return {**rates, "machine": content["machine"], **content["settings"]}


def _leftover(found: Found) -> str:
    """The advice for a file or folder of a command that was killed, or that still runs; empty for another."""
    name = found.path.name
    if found.path.is_dir():
        of_rows = name.endswith(".partial") and found.names and all(part.endswith(".rows") for part in found.names)
        return "the rest of a recording: the same command deletes it, and so may you" if of_rows else ""
    if name.endswith(".lock") and found.size:
        return ""  # another program's
    return next((advice for pattern, advice in _LEFTOVERS.items() if re.fullmatch(pattern, name)), "")


_CONTINUE = "the same command completes it; without need of it, delete it"
_LEFTOVERS = {
    r"\..+\.[0-9a-f]{8}\.tmp": "a file that was being written: the same command deletes it, and so may you",
    r"\..+\.lock": "the mark of a command that runs; after one that was killed, the next with that output deletes it",
    r"\..+\.unfinished": "the mark beside the log of a training that has not ended: the same command replaces both",
}
_PARTS = r"(policy|train|calibration|test)-.+\.safetensors(\.partial)?"
"""Names in the folder of a recording of several splits."""


KINDS = (
    Kind("traces", lambda found: found.format.startswith("seenn_env.traces/"), _traces),
    Kind("policy", lambda found: found.format.startswith("seenn_env.policy/"), _policy),
    Kind("backbone", lambda found: found.format.startswith("seenn_env.backbone/"), _backbone),
    Kind("frames", lambda found: {"frames", "labels"} <= {name.removesuffix(".npy") for name in found.names}, _frames),
    Kind("cached images", lambda found: found.format.startswith("seenn_env.cache/"), _cache),
    Kind("training state", lambda found: found.format.startswith("seenn_env.training/"), _training),
    Kind("ONNX export", lambda found: {"network.json", "step.onnx"} <= found.names, lambda f: f.json("network.json")),
    Kind(
        "unfinished recording",
        lambda found: "done.rows" in found.names and "shapes" in found.json(SETTINGS),
        _recording,
    ),
    Kind(
        "unfinished recording of several splits",
        lambda found: found.path.suffix == ".parts" and any(re.fullmatch(_PARTS, name) for name in found.names),
        lambda found: {"advice": _CONTINUE, **found.content},
    ),
    Kind("left-over", lambda found: bool(_leftover(found)), lambda found: {"advice": _leftover(found)}),
    Kind("result of a command", lambda found: "command" in found.json(SETTINGS), _result),
    Kind("comparison", lambda found: {"rows", "differences", "reference"} <= found.figures.keys(), _comparison),
    Kind("headroom", lambda found: {"confidence", "gains", "folds"} <= found.figures.keys(), _headroom),
    Kind("speeds", lambda found: {"machine", "settings", "slots"} <= found.figures.keys(), _speeds),
    Kind("answers of classify", lambda found: found.first_line == ",".join(COLUMNS), _answers),
    Kind("file of TensorBoard", lambda found: bool(re.fullmatch(EVENTS, found.path.name)), lambda _: {}),
    Kind(
        "log of TensorBoard",
        lambda found: found.path.is_dir() and not found.files[0] and bool(found.files[1]),
        lambda found: {"runs": found.files[1]},
    ),
    Kind("folder", lambda found: bool(found.content), lambda found: found.content),
)
"""Every kind of file and folder; the first that fits counts."""
