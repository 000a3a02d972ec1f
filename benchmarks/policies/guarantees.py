"""Frequency of broken guarantees on other images: CIFAR-10 (JPEG copy), 200 random halves.

    python benchmarks/policies/guarantees.py --output benchmarks/policies/guarantees.json

The 10,000 rows of the packaged traces' policy and calibration splits are dealt out at random: half make the
guarantee (a fifth of them gives the levels), the other half evaluates it. The test split is not used. The other half
is finite, so its risk scatters about the true one and exceeds the bound more often than the guarantee is broken:
the share of splits and the mean risk are both stated.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from agents.calibration import control_risk
from agents.policies import RULES
from seenn_env import Traces, evaluate


@dataclass(frozen=True)
class Args:
    output: Path = Path("benchmarks/policies/guarantees.json")
    traces: str = "cifar10-jpeg"
    splits: int = 200
    rules: tuple[Literal["confidence", "margin"], ...] = ("confidence", "margin")
    risks: tuple[Literal["accuracy", "consistency"], ...] = ("accuracy", "consistency")
    max_risk: tuple[float, ...] = (0.005, 0.01, 0.02)
    confidence: float = 0.95
    seed: int = 0


def main(args: Args) -> None:
    found = Traces.load(args.traces)
    pool = found[np.isin(found.split_codes, (1, 2))]
    pool = Traces(logits=pool.logits, labels=pool.labels, split="calibration", sample=pool.sample, repeat=pool.repeat)
    rng = np.random.default_rng(args.seed)
    rows: list[dict[str, object]] = []
    halves = [rng.permutation(len(pool)) for _ in range(args.splits)]
    for policy in (RULES[name] for name in args.rules):
        for risk in args.risks:
            for max_risk in args.max_risk:
                seen, spent, full = [], [], 0
                for order in halves:
                    here, there = pool[np.sort(order[: len(order) // 2])], pool[np.sort(order[len(order) // 2 :])]
                    made = control_risk(policy, here, max_risk=max_risk, confidence=args.confidence, risk=risk)
                    outcome = evaluate(made.policy, there)
                    if risk == "accuracy":
                        seen.append(there.correct[:, -1].mean() - outcome.accuracy)
                    else:
                        seen.append((outcome.predictions != there.predictions[:, -1]).mean())
                    spent.append(outcome.mean_timesteps)
                    full += made.is_full
                row = {
                    "rule": type(policy).__name__,
                    "risk": risk,
                    "max_risk": max_risk,
                    "confidence": args.confidence,
                    "above_the_bound": float(np.mean(np.array(seen) > max_risk)),
                    "mean_risk": float(np.mean(seen)),
                    "mean_timesteps": float(np.mean(spent)),
                    "full": full / args.splits,
                }
                rows.append(row)
                print(json.dumps(row), flush=True)
    about = {"traces": args.traces, "fingerprint": found.info.get("fingerprint"), "splits": args.splits, "n": len(pool)}
    args.output.write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Args))
