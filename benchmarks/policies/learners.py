"""Every learner against the best rule at targets from 1.05 to T - 1, on four kinds of traces.

    python benchmarks/policies/learners.py --minutes 30    # continues where it was; learners.json, docs/learners.md
    python benchmarks/policies/learners.py --qcfs FOLDER   # and FOLDER/{policy,calibration,test}.safetensors, T = 32

Policies learn on policy with the defaults of `agents.train(…, target_timesteps=…)`, one for every target and seed,
and are kept in `--output`. Rules are fitted on policy too; the best one, and the best of one threshold, are those with
the greatest mean accuracy over the targets on calibration. Levels are set in hindsight to meet the target exactly, in
every resample, for both alike; the policy's own multiplications are not charged. The s-shaped and slowly-rising traces
are synthetic (`synthetic_traces.py`).
"""

import argparse
import json
import re
import time
import warnings
from pathlib import Path
from typing import Any

from results_rows import fitted
from synthetic_traces import s_shaped, slowly_rising

import agents
from agents.comparison import Clusters, matched_curve
from agents.policies import RULES
from backbones.machine import torch_threads
from seenn_env import Traces

ROOT = Path(__file__).parents[2]
RESULT, PAGE = Path(__file__).with_suffix(".json"), ROOT / "docs" / "learners.md"
TARGETS: dict[str, list[float]] = {
    "digits": [1.05, 1.5, 2, 4, 7],
    "cifar10-jpeg": [1.05, 1.2, 1.5, 2, 3],
    "s-shaped": [1.05, 2, 3, 4, 7],
    "qcfs": [1.05, 4, 8, 16, 31],
    "slowly-rising": [1.05, 4, 8, 16, 31],
}
SINGLE = ("confidence", "margin", "entropy", "gap")
EACH = ("per-timestep-confidence", "per-timestep-margin", "per-timestep-gap")
SPLITS = ("calibration", "test")
ALGORITHMS = ["exact", "ppo", "dqn", "ppo-taught", "dqn-taught", "a2c", "qrdqn", "recurrent-ppo", "optimal-stopping"]
TAUGHT = {"total_timesteps": 1, "learning_rate": 0.0}
ARGUMENTS: dict[str, dict[str, Any]] = {"ppo-taught": TAUGHT, "dqn-taught": TAUGHT}
"""Of `agents.train`, for rows that have some: networks that begin as the exact learner's policy and learn no more."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60, help="start no training after so long")
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    parser.add_argument("--traces", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--qcfs", type=Path, help="folder of a converted network's traces")
    parser.add_argument("--output", type=Path, default=Path("runs/learners"))
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    kinds = {name: traces_of(name, args.qcfs) for name in args.traces if name != "qcfs" or args.qcfs}
    with torch_threads(1):
        for seed in range(args.seeds):
            for algorithm in args.algorithms:
                for name, traces in kinds.items():
                    for target in TARGETS[name]:
                        if time.monotonic() < end:
                            train(args.output, algorithm, name, traces, target, seed)
        for name, traces in kinds.items():
            compare(args.output, args.algorithms, args.seeds, name, traces)


def traces_of(name: str, qcfs: Path | None) -> Traces:
    if name == "qcfs":
        assert qcfs is not None
        return Traces.merge(*(Traces.load(qcfs / f"{split}.safetensors") for split in ("policy", *SPLITS)))
    synthetic = {"s-shaped": s_shaped, "slowly-rising": slowly_rising}
    return synthetic[name]() if name in synthetic else Traces.load(name)


def file(output: Path, algorithm: str, name: str, target: float, seed: int) -> Path:
    return output / name / f"{algorithm}-t{target:g}-seed{seed}.safetensors"


def train(output: Path, algorithm: str, name: str, traces: Traces, target: float, seed: int) -> None:
    """One policy, unless it is there."""
    saved = file(output, algorithm, name, target, seed)
    if saved.exists():
        return
    begin = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        policy = agents.train(
            algorithm.removesuffix("-taught"),
            traces,
            target_timesteps=target,
            seed=seed,
            **ARGUMENTS.get(algorithm, {}),
        )
    policy.settings["processor_seconds"] = round(time.process_time() - begin, 2)
    policy.settings["warned"] = [str(each.message) for each in caught]
    agents.save(policy, saved)
    print(f"{name}/{saved.name}: {policy.settings['processor_seconds']} s", *policy.settings["warned"], flush=True)


def compare(output: Path, algorithms: list[str], seeds: int, name: str, traces: Traces) -> None:
    """The rows of one kind of traces, into the result file and the page."""
    targets = TARGETS[name]
    rows = {split: traces.select(split) for split in SPLITS}
    clusters = {split: Clusters(rows[split].sample) for split in SPLITS}
    rules = {rule: fitted(RULES[rule], traces.select("policy"), targets) for rule in (*SINGLE, *EACH)}
    curves = {
        split: {rule: matched_curve(group, rows[split], clusters[split]) for rule, group in rules.items()}
        for split in SPLITS
    }
    means = {rule: float(curve.estimate.mean()) for rule, curve in curves["calibration"].items()}
    best, single = max(means, key=means.__getitem__), max(SINGLE, key=means.__getitem__)
    found: dict[str, Any] = {"targets": targets, "best_rule": best, "best_single": single, "rows": {}}
    for algorithm in algorithms:
        groups: list[list[Any]] = []
        for seed in range(seeds):
            files = [file(output, algorithm, name, target, seed) for target in targets]
            if all(each.exists() for each in files):
                groups.append([agents.load(each) for each in files])
        if not groups:
            continue
        policies = {target: [group[place] for group in groups] for place, target in enumerate(targets)}
        row: dict[str, Any] = {"seeds": len(groups), "steps": groups[0][0].settings.get("total_timesteps")}
        seconds = [policy.settings["processor_seconds"] for group in groups for policy in group]
        row["mean_processor_seconds"] = sum(seconds) / len(seconds)
        for split in SPLITS:
            curve = matched_curve(policies, rows[split], clusters[split])
            row[split] = {}
            for rival, rule in (("best_rule", best), ("best_single", single)):
                over = curve.over(curves[split][rule])
                row[split][rival] = {"area": interval(over.area), "at": [interval(each) for each in over.differences]}
        found["rows"][algorithm] = row
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    result[name] = found
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    PAGE.write_text(into_page(PAGE.read_text(), result))


def into_page(text: str, result: dict[str, Any]) -> str:
    """The page with the tables between its marks."""
    return re.sub("(?<=<!-- learners -->\n).*(?=\n<!-- end of learners -->)", lambda _: table(result), text, flags=re.S)


def areas(result: dict[str, Any]) -> list[str]:
    """One row for each kind of traces: the area of every learner over the best rule on calibration."""
    learners = list(dict.fromkeys(learner for about in result.values() for learner in about["rows"]))
    lines = [f"| area on calibration | {' | '.join(learners)} |", "| --- " * (1 + len(learners)) + "|"]
    for name in (name for name in TARGETS if name in result):
        rows = result[name]["rows"]
        cells = (
            f"{rows[each]['calibration']['best_rule']['area'][0]:+.2f}" if each in rows else "" for each in learners
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def interval(each: Any) -> list[float]:
    """Estimate, low and high, in points."""
    return [round(100 * value, 3) for value in (each.estimate, each.low, each.high)]


def table(result: dict[str, Any]) -> str:
    """The figures, as the page shows them."""
    lines = areas(result)
    for name in (name for name in TARGETS if name in result):
        about = result[name]
        heads = " | ".join(f"{target:g}" for target in about["targets"])
        lines += [
            "",
            f"{name}, best rule {about['best_rule']}, best of one threshold {about['best_single']}:",
            "",
            f"| learner | seeds | steps | split | area over best rule | over one threshold | {heads} |",
            "| --- " * (6 + len(about["targets"])) + "|",
        ]
        for algorithm, row in about["rows"].items():
            for split in SPLITS:
                over, single = row[split]["best_rule"], row[split]["best_single"]["area"]
                cells = " | ".join(shown(each) for each in over["at"])
                lines.append(
                    f"| {algorithm} | {row['seeds']} | {row['steps'] or ''} | {split} | {shown(over['area'])} | "
                    f"{shown(single)} | {cells} |"
                )
    return "\n".join(lines)


def shown(values: list[float]) -> str:
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*values)


if __name__ == "__main__":
    main()
