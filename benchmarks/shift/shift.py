"""Early exit on corrupted images: exits, accuracy and risk bounds under shift, for each policy.

    python benchmarks/shift/shift.py --data-dir FOLDER         # FOLDER has train/CLASS/*.jpg and test/CLASS/*.jpg

Policies learn on the clean images of split "policy" and are calibrated on those of "calibration", to mean timesteps
or to a bound on the loss through early exit (Learn then Test at 95 %). A stratified part of the test images is
recorded with every corruption at every severity, and the same policies decide on it at the same levels. Recordings
and policies stay in `--output`, in a folder named by the backbone's fingerprint; killed at any moment, the same
command continues. Writes benchmarks/shift/shift.json and docs/shift.md, which is rendered from it.
"""

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from shift_page import page

import agents
import backbones as bb
from agents.calibration import control_risk, exit_curve
from agents.comparison import Clusters, across_seeds, paired_difference
from agents.policies import RULES
from backbones.data import check_division, corrupt, stratified_split
from backbones.machine import torch_threads
from backbones.networks import SpikingNetwork
from seenn_env import Evaluation, Traces, evaluate, record

LEARNED: dict[str, tuple[str, dict[str, Any]]] = {
    "SEENN-II (sequential, exact)": ("exact", {}),
    "SEENN-II (sequential, PPO)": ("ppo", {"total_timesteps": 300_000}),
}
"""Name to algorithm and arguments."""
RIVAL = "confidence"


@dataclass(frozen=True)
class Args:
    data_dir: Path | None = None
    """Class-per-folder images, or the data of another dataset."""
    backbone: Path = Path("runs/cifar10-jpeg/backbone.safetensors")
    traces: tuple[str, ...] = ("cifar10-jpeg",)
    """Clean traces of that backbone: splits policy, calibration and test (files, or a packaged name)."""
    dataset: str = "folder"
    cache_dir: Path | None = None
    corruptions: tuple[str, ...] = ("gaussian-noise", "gaussian-blur", "contrast", "jpeg")
    severities: tuple[int, ...] = (2, 4)
    images: int = 2000
    """Test images under each corruption, every class in proportion (the same ones under all)."""
    rules: tuple[str, ...] = (RIVAL, "margin", "per-timestep-margin")
    seeds: int = 5
    """Policies of each learned kind."""
    target_timesteps: float = 1.2
    max_accuracy_risk: float = 0.01
    max_consistency_risk: float = 0.02
    confidence: float = 0.95
    seed: int = 0
    """Of the choice of images and of the bootstrap."""
    output: Path = Path("runs/shift")
    """Folder of recordings and policies."""
    figures: Path = Path("benchmarks/shift/shift.json")
    page: Path = Path("docs/shift.md")

    @property
    def settings(self) -> dict[str, tuple[str, float]]:
        """Settings of each policy on clean images: a target of timesteps, or the bound of a risk."""
        return {
            "target": ("timesteps", self.target_timesteps),
            "accuracy": ("accuracy", self.max_accuracy_risk),
            "consistency": ("consistency", self.max_consistency_risk),
        }


def main(args: Args) -> None:
    begin = time.monotonic()
    backbone = bb.load(args.backbone)
    clean = Traces.merge(*(Traces.load(each) for each in args.traces))
    clean.check_backbone(backbone.fingerprint)
    folder = args.output / backbone.fingerprint[:12]
    with torch_threads(1):
        conditions = shifted(args, backbone, clean, folder)
        recorded = time.monotonic()
        policies = all_policies(args, clean.without("test"), folder)
        rows = [row for name, group in policies.items() for row in rows_of(args, name, group, clean, conditions)]
    shown = conditions["clean"]
    found = {
        "command": {name: str(value) if isinstance(value, Path) else value for name, value in asdict(args).items()},
        "fingerprint": backbone.fingerprint,
        "dataset": shown.info.get("dataset"),
        "images": len(np.unique(shown.sample)),
        "timesteps": shown.timesteps,
        "conditions": {
            name: {
                "accuracy": traces.accuracy.tolist(),
                "oracle": [(best := evaluate(agents.Oracle(), traces)).accuracy, best.mean_timesteps],
            }
            for name, traces in conditions.items()
        },
        "rows": rows,
        "seconds": {"recording": round(recorded - begin), "all": round(time.monotonic() - begin)},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
    }
    for key in ("data_dir", "cache_dir", "output", "figures", "page"):
        del found["command"][key]
    args.figures.write_text(json.dumps(found, indent=1) + "\n")
    args.page.write_text(page(found))
    print(args.page.read_text())


def shifted(args: Args, backbone: SpikingNetwork, clean: Traces, folder: Path) -> dict[str, Traces]:
    """Traces of the chosen test images, clean and under every corruption, by name; missing ones are recorded."""
    splits = bb.load_dataset(args.dataset, args.data_dir, cache_dir=args.cache_dir, timesteps=backbone.timesteps)
    check_division(splits.division, backbone.division)
    test = splits.test
    if not 1 <= args.images <= len(test):
        raise bb.InputError(f"Expected images in 1…{len(test)}, as many as there are for test, got {args.images}.")
    chosen = test.select(stratified_split(test.labels, {"shown": args.images}, args.seed)["shown"])
    seen = clean.select("test")
    seen = seen[np.isin(seen.sample, chosen.index)]
    if set(seen.sample) != set(chosen.index):
        raise bb.InputError(f"Expected clean traces of all test images of {args.dataset}, got those of others.")
    found = {"clean": seen}
    for corruption in args.corruptions:
        for severity in args.severities:
            name = f"{corruption} {severity}"
            file = folder / f"{corruption}-{severity}-{args.images}-seed{args.seed}.safetensors"
            if not file.exists():
                begin = time.monotonic()
                folder.mkdir(parents=True, exist_ok=True)
                record(backbone, corrupt(chosen, corruption, severity), file, dtype="float16")
                print(f"{name}: {args.images / (time.monotonic() - begin):.0f} images/s", flush=True)
            traces = Traces.load(file)
            traces.check_backbone(backbone.fingerprint)
            if not np.array_equal(traces.sample, chosen.index):
                raise bb.InputError(f"Expected traces of other images in {file}: delete it, and it is recorded anew.")
            found[name] = traces
    return found


def all_policies(args: Args, clean: Traces, folder: Path) -> dict[str, list[Any]]:
    """Policies with a score by name, one for each seed of learned ones."""
    policy, found = clean.select("policy"), {}
    for name in args.rules:
        rule = agents.calibrate(RULES[name], policy, target_timesteps=args.target_timesteps)
        found[name] = [rule]  # of a rule with a threshold for every timestep, these are its shape
    for name, (algorithm, arguments) in LEARNED.items():
        found[name] = []
        for seed in range(args.seeds):
            file = folder / f"{algorithm}-t{args.target_timesteps:g}-seed{seed}.safetensors"
            if not file.exists():
                trained = agents.train(algorithm, clean, seed=seed, target_timesteps=args.target_timesteps, **arguments)
                agents.save(trained, file)
                print(file.name, flush=True)
            found[name].append(agents.load(file))
    return found


def rows_of(
    args: Args, name: str, group: Sequence[Any], clean: Traces, conditions: dict[str, Traces]
) -> list[dict[str, Any]]:
    """One row for each setting and condition."""
    calibration = clean.select("calibration")
    rival = RULES[RIVAL]
    rows = []
    for setting, (kind, value) in args.settings.items():
        if kind == "timesteps":
            set_ = [_at_target(policy, calibration, value) for policy in group]
        else:
            set_ = [
                control_risk(
                    policy,
                    calibration,
                    max_risk=value,
                    confidence=args.confidence,
                    risk=kind,
                    levels_from=clean.select("policy"),
                ).policy
                for policy in group
            ]
        for condition, traces in conditions.items():
            clusters = Clusters(traces.sample, seed=args.seed)
            results = [evaluate(policy, traces) for policy in set_]
            row = {"policy": name, "seeds": len(group), "setting": setting, "condition": condition}
            row |= figures_of(results, traces, clusters)
            if kind == "timesteps":
                if name != RIVAL:
                    row["over_confidence"] = asdict(paired_difference(results, rival, traces, clusters))
            else:
                row["bound"] = value
                row["full"] = sum(isinstance(policy, agents.FixedTimestep) for policy in set_)
                row["verdict"] = verdict(row[f"{kind}_risk"], value)
            rows.append(row)
    print(name, flush=True)
    return rows


def figures_of(results: Sequence[Evaluation], traces: Traces, clusters: Clusters) -> dict[str, Any]:
    """Figures of a policy on these rows, one evaluation a seed."""
    full, last = traces.correct[:, -1].astype(float), traces.predictions[:, -1]
    values = {
        "mean_timesteps": [each.exit_timesteps for each in results],
        "accuracy": [each.correct for each in results],
        "accuracy_risk": [full - each.correct for each in results],
        "consistency_risk": [each.predictions != last for each in results],
    }
    return {key: asdict(across_seeds(each, clusters)) for key, each in values.items()}


def verdict(risk: dict[str, float], bound: float) -> str:
    """The side of the bound on which the whole interval of a risk lies, "kept" or "broken"; otherwise "open"."""
    if risk["high"] <= bound:
        return "kept"
    return "broken" if risk["low"] > bound else "open"


def _at_target(policy: Any, calibration: Traces, target: float) -> Any:
    curve = exit_curve(policy, calibration)
    return policy.at_level(float(curve.levels[curve.nearest(target)]))


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
