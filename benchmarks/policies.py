"""Every policy against the best rule, by a protocol that is written down before: benchmarks/protocol.json.

    python benchmarks/policies.py train --backbone cifar10-jpeg         # what is missing of all policies and seeds
    python benchmarks/policies.py train --backbone cifar10-jpeg --policy "SEENN-II (sequential, PPO)"
    python benchmarks/policies.py table              # docs/results.md and benchmarks/results/policies.json

The traces of the converted network are made by `benchmarks/conversion.py --output runs/conversion --data-dir …`.
A new policy is a line in the protocol and the first command. Policies learn on the split policy. The best rule and
the form of SEENN-II that the endpoint speaks of are chosen on calibration, by the mean accuracy over the targets at
equal mean timesteps; rules are fitted on policy for that choice, and anew on policy and calibration together for the
table. On test, levels are set anew in every resample, for both alike, to spend exactly the target, the policy's own
multiplications included; images (with all their repeats) and seeds are resampled.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from policy_page import page

import agents
from agents.endpoints import Endpoint, area_between, matched_accuracy
from agents.policy import scores_of
from agents.rule_table import RULES
from agents.statistics import Clusters, Interval, holm
from agents.tabular_stopping import TabularStopping
from backbones import load_dataset, torch_threads
from seenn_env import Traces, evaluate

PROTOCOL = Path("benchmarks/protocol.json")
RESULTS = Path("benchmarks/results/policies")
FLOOR = "table of (timestep, confidence)"


def slug(name: str) -> str:
    """A name as part of a file's."""
    return "".join(c if c.isalnum() else "-" for c in name.lower()).replace("--", "-").strip("-")


def file_of(backbone: str, policy: str, seed: int, target: float | None) -> Path:
    """Where a policy is kept."""
    at = "" if target is None else f"-t{target:g}"
    return RESULTS / backbone / f"{slug(policy)}{at}-seed{seed}.safetensors"


def load(files: str | list[str]) -> Traces:
    """Traces of one file (or packaged name) or several."""
    return Traces.merge(*(Traces.load(file) for file in ([files] if isinstance(files, str) else files)))


@dataclass(frozen=True)
class Train:
    """Train what is missing."""

    backbone: str = "cifar10-jpeg"
    policy: tuple[str, ...] = ()
    """Names in the protocol (default: all)."""
    data_dir: Path | None = None
    """Class-per-folder images, for one-shot policies on traces that have none."""
    cache_dir: Path | None = None

    def run(self) -> None:
        protocol = json.loads(PROTOCOL.read_text())
        about = protocol["backbones"][self.backbone]
        traces = load(about["traces"]).without("test")
        for name in self.policy or protocol["policies"]:
            entry = protocol["policies"][name]
            arguments = dict(entry["arguments"])
            if entry["algorithm"] == "one-shot" and traces.images is None:
                if self.data_dir is None:
                    print(f"{name}: left out, no images; pass --data-dir", flush=True)
                    continue
                arguments["samples"] = load_dataset("folder", self.data_dir, cache_dir=self.cache_dir).policy
            for seed in entry.get("seeds", protocol["seeds"]):
                for target in about["targets"] if entry["per_target"] else [None]:
                    file = file_of(self.backbone, name, seed, target)
                    if file.exists():
                        continue
                    begin = time.process_time()
                    with torch_threads(1):
                        policy = agents.train(
                            entry["algorithm"], traces, seed=seed, target_timesteps=target, **arguments
                        )
                    policy.settings["processor_seconds"] = round(time.process_time() - begin, 2)
                    policy.settings["protocol"] = protocol["version"]
                    agents.save(policy, file)
                    print(f"{file.name}: {policy.settings['processor_seconds']} s", flush=True)


@dataclass(frozen=True)
class Table:
    """Choose on calibration, compare on test, write the page."""

    output: Path = Path("docs/results.md")
    figures: Path = Path("benchmarks/results/policies.json")
    backbone: tuple[str, ...] = ()
    """Which backbones' figures to make anew (default: all whose policies are there)."""
    data_dir: Path | None = None
    """Class-per-folder images, for one-shot policies on traces that have none."""
    cache_dir: Path | None = None

    def run(self) -> None:
        protocol = json.loads(PROTOCOL.read_text())
        found = json.loads(self.figures.read_text())["backbones"] if self.figures.exists() else {}
        for name, about in protocol["backbones"].items():
            folder = RESULTS / name
            if folder.is_dir() and any(folder.iterdir()) and name in (self.backbone or protocol["backbones"]):
                with torch_threads(1):
                    found[name] = compare_all(name, about, protocol, self)
        self.figures.write_text(json.dumps({"backbones": found}, indent=1) + "\n")
        self.output.write_text(page(found))
        print(self.output.read_text())


def compare_all(backbone: str, about: dict[str, Any], protocol: dict[str, Any], options: Table) -> dict[str, Any]:
    """Everything about one backbone, JSON-able."""
    traces = load(about["traces"])
    targets = about["targets"]
    choosing, test = traces.without("test"), traces.select("test")
    policy, calibration = traces.select("policy"), traces.select("calibration")
    learned = {}
    for name, entry in protocol["policies"].items():
        seeds = [s for s in entry.get("seeds", protocol["seeds"]) if _files(backbone, name, s, entry, targets)]
        if seeds:
            learned[name] = {
                t: [
                    _with_images(agents.load(file_of(backbone, name, s, t if entry["per_target"] else None)), options)
                    for s in seeds
                ]
                for t in targets
            }
    same = {t: TabularStopping.fit(policy, cost=0.1) for t in targets}
    learned[FLOOR] = {t: [same[targets[0]]] for t in targets}

    def on_calibration(policies: dict[float, Any]) -> float:
        return float(np.mean([_accuracy_at(p, calibration, t) for t, group in policies.items() for p in group]))

    chances = {
        name: on_calibration({t: [p] for t, p in fitted(RULES[name], policy, targets).items()})
        for name in protocol["rules"]
    }
    rules = {name: fitted(RULES[name], choosing, targets) for name in ("confidence", *protocol["rules"])}
    best_rule = max(chances, key=lambda name: chances[name])
    forms = {name: on_calibration(group) for name, group in learned.items() if "sequential" in name}
    chosen = max(forms, key=lambda name: forms[name])
    rival, confidence = rules[best_rule], rules["confidence"]

    clusters = Clusters(test.sample)
    rows = {}
    for name, policies in rules.items():
        group = {t: [p] for t, p in policies.items()}
        rows[name] = _row(group, rival, confidence, test, clusters, 0.0, calibration)
    for name, group in learned.items():
        rows[name] = _row(group, rival, confidence, test, clusters, charge_of(group, about), calibration)
    gain = {name: rows[name]["over_confidence"]["estimate"] for name in (chosen, best_rule)}
    stopping = rows.get("optimal stopping", {}).get("over_confidence", {}).get("estimate")
    return {
        "protocol": protocol["version"],
        "fingerprint": traces.info.get("fingerprint"),
        "samples": clusters.count,
        "rows_per_sample": len(test) / clusters.count,
        "accuracy": test.accuracy.tolist(),
        "aet": test.aet,
        "empirical_aet": test.empirical_aet,
        "oct": test.oct,
        "oracle": [evaluate(agents.Oracle(), test).accuracy, evaluate(agents.Oracle(), test).mean_timesteps],
        "targets": targets,
        "endpoint": about["endpoint"],
        "best_rule": best_rule,
        "rules_on_calibration": chances,
        "chosen": chosen,
        "forms_on_calibration": forms,
        "share_of_stopping_gain": gain[chosen] / stopping if stopping and stopping > 0 else None,
        "rows": rows,
    }


def fitted(rule: Any, rows: Traces, targets: list[float]) -> dict[float, Any]:
    """`calibrate` for several targets, with what has to be fitted fitted once."""
    if not getattr(rule, "fitted", True):
        rule = rule.fit(rows)
    variants = list(rule.variants(rows)) if hasattr(rule, "variants") else [rule]
    curves = [agents.exit_curve(variant, rows) for variant in variants]
    found = {}
    for target in targets:
        entries = [curve.nearest(target) for curve in curves]
        best = max(range(len(variants)), key=lambda i: curves[i].accuracy[entries[i]])
        found[target] = variants[best].at_level(float(curves[best].levels[entries[best]]))
    return found


def _files(backbone: str, name: str, seed: int, entry: dict[str, Any], targets: list[float]) -> bool:
    wanted = targets if entry["per_target"] else [None]
    return all(file_of(backbone, name, seed, target).exists() for target in wanted)


def _with_images(policy: Any, options: Table) -> Any:
    if not getattr(policy, "one_shot", False) or options.data_dir is None:
        return policy
    splits = load_dataset("folder", options.data_dir, cache_dir=options.cache_dir)
    return _AllSplits(policy, splits)


class _AllSplits:
    """A one-shot policy that finds the images of traces in the split that they are of."""

    one_shot = True

    def __init__(self, policy: Any, splits: Any) -> None:
        self.policy, self.splits, self.macs, self.level = policy, splits, policy.macs, policy.level
        self.observation, self.settings = policy.observation, policy.settings
        self.score, self.at_level = policy.score, policy.at_level

    def trace_scores(self, traces: Traces) -> np.ndarray:
        scores: np.ndarray = scores_of(self.policy.with_samples(self.splits[traces.split]), traces)
        return scores


def charge_of(group: dict[float, list[Any]], about: dict[str, Any]) -> float:
    """Timesteps that the policy's own multiplications cost, at the most decisions that it takes."""
    policy = next(iter(group.values()))[0]
    decisions = 1 if getattr(policy, "one_shot", False) else max(about["targets"])
    return float(getattr(policy, "macs", 0)) * decisions / float(about["macs_per_timestep"])


def _set_on(policy: Any, calibration: Traces, target: float) -> Any:
    """The policy at the level that meets the target on calibration; nothing else of it moves."""
    curve = agents.exit_curve(policy, calibration)
    return policy.at_level(float(curve.levels[curve.nearest(target)]))


def _accuracy_at(policy: Any, traces: Traces, target: float) -> float:
    once = Clusters(traces.sample, resamples=1)
    return float(matched_accuracy(scores_of(policy, traces), traces.correct, np.array([target]), once)[0][0])


def _row(
    group: dict[float, list[Any]],
    rival: dict[float, Any],
    confidence: dict[float, Any],
    test: Traces,
    clusters: Clusters,
    charge: float,
    calibration: Traces,
) -> dict[str, Any]:
    usable = {t: p for t, p in group.items() if t - charge >= 1}
    if len(usable) < 2:
        return {"charge": charge, "too_dear": True}
    over_rule = area_between(usable, {t: rival[t] for t in usable}, test, clusters, charge=charge)
    over_confidence = area_between(usable, {t: confidence[t] for t in usable}, test, clusters, charge=charge)
    adjusted = holm([interval.p_value for interval in over_confidence.differences])
    landed = []
    for t, policies in usable.items():
        if all(getattr(p, "observation", "") != "image" for p in policies):
            set_ = [_set_on(p, calibration, t) for p in policies]
            landed.append(float(np.mean([evaluate(p, test).mean_timesteps for p in set_])))
    seconds = [p.settings.get("processor_seconds", 0) for ps in group.values() for p in ps if hasattr(p, "settings")]
    return {
        "charge": charge,
        "seeds": len(next(iter(usable.values()))),
        "accuracy": [
            float(np.mean([_accuracy_at(p, test, t - charge) for p in policies])) for t, policies in usable.items()
        ],
        "targets": list(usable),
        "landed": landed,
        "over_rule": _interval(over_rule.area),
        "over_rule_verdict": over_rule.verdict(),
        "over_confidence": _interval(over_confidence.area),
        "at_targets": _differences(over_confidence, adjusted),
        "mean_processor_seconds": float(np.mean(seconds)) if seconds else None,
    }


def _differences(endpoint: Endpoint, adjusted: np.ndarray) -> list[dict[str, float]]:
    return [{**_interval(i), "adjusted_p": float(p)} for i, p in zip(endpoint.differences, adjusted, strict=True)]


def _interval(interval: Interval) -> dict[str, float]:
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high, "p_value": interval.p_value}


if __name__ == "__main__":
    Command = (
        Annotated[Train, tyro.conf.subcommand("train", prefix_name=False)]
        | Annotated[Table, tyro.conf.subcommand("table", prefix_name=False)]
    )
    tyro.cli(Command, description=__doc__).run()
