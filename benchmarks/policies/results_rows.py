"""Figures of one backbone for `benchmarks/policies/compare.py table`: choices on calibration, rows on test."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

import agents
from agents.calibration import exit_curve, exits_at, level_curve
from agents.comparison import Clusters, DifferenceInterval, Endpoint, MatchedCurve, holm, matched_curve, max_t
from agents.learners import TabularStopping
from agents.policies import RULES
from backbones import Samples, Splits, load_dataset
from seenn_env import Traces, evaluate
from seenn_env.traces import ROW_FIELDS

_KEPT = 80
FLOOR = "table of (timestep, confidence)"
Scores = Callable[[Any, Traces], np.ndarray]


def load(files: str | list[str]) -> Traces:
    """Traces of one file (or packaged name) or several."""
    return Traces.merge(*(Traces.load(file) for file in ([files] if isinstance(files, str) else files)))


def digest_of(traces: Traces) -> str:
    """A digest of everything that traces hold of their rows, and of the backbone that they are of."""
    found = hashlib.blake2b(str(traces.info.get("fingerprint")).encode(), digest_size=16)
    for name in (*ROW_FIELDS, "split_codes"):
        values = getattr(traces, name)
        if values is not None:
            found.update(f"{name} {values.dtype} {values.shape}".encode())
            found.update(np.ascontiguousarray(values).data)
    return found.hexdigest()


@lru_cache(maxsize=1)
def samples_of(data_dir: Path, cache_dir: Path | None) -> Splits:
    """The images, decoded once."""
    return load_dataset("folder", data_dir, cache_dir=cache_dir)


def join(*parts: Samples) -> Samples:
    """The images of several splits, under the first one's name."""
    images, labels, index = (np.concatenate([getattr(p, of) for p in parts]) for of in ("images", "labels", "index"))
    return replace(parts[0], images=images, labels=labels, index=index)


def with_images(traces: Traces, samples: Samples) -> Traces:
    """Traces with the images of their samples."""
    return replace(traces, images=samples.images, image_index=samples.index)


def compare_all(
    about: dict[str, Any],
    traces: Traces,
    protocol: dict[str, Any],
    tried: dict[str, dict[float, list[Any]]],
    learned: dict[str, dict[float, list[Any]]],
    data_dir: Path | None,
    cache_dir: Path | None,
) -> dict[str, Any]:
    """Everything about one backbone, JSON-able.

    Args:
        about: what the protocol says of it.
        traces: its.
        protocol: the protocol.
        tried: name: target to one policy a seed, fitted on the split policy alone; of them the form is chosen.
        learned: likewise, to compare on test: the same, or fitted anew on policy and calibration.
        data_dir: class-per-folder images, for one-shot policies on traces that have none.
        cache_dir: for those images.
    """
    targets: list[float] = about["targets"]
    choosing, test = traces.without("test"), traces.select("test")
    policy, calibration = traces.select("policy"), traces.select("calibration")
    scores = _remembered(data_dir, cache_dir)
    floors = (TabularStopping.fit(rows, cost=0.1) for rows in (policy, choosing if about.get("refit") else policy))
    tried, learned = (
        {**group, FLOOR: {t: [floor] for t in targets}} for group, floor in zip((tried, learned), floors, strict=True)
    )

    def on_calibration(policies: dict[float, list[Any]]) -> float:
        once = Clusters(calibration.sample, resamples=1)
        found = [matched_curve(_seed(policies, s), calibration, once, scores=scores).estimate for s in _seeds(policies)]
        return float(np.mean(found))

    chances = {
        name: on_calibration({t: [p] for t, p in fitted(RULES[name], policy, targets).items()})
        for name in protocol["rules"]
    }
    best_rule = max(chances, key=lambda name: chances[name])
    forms = {name: on_calibration(group) for name, group in tried.items() if "sequential" in name}
    chosen = max(forms, key=lambda name: forms[name]) if forms else best_rule

    clusters = Clusters(test.sample)
    rules = {
        name: {t: [p] for t, p in fitted(RULES[name], choosing, targets).items()}
        for name in ("confidence", *protocol["rules"])
    }
    curves: dict[str, MatchedCurve] = {}
    charges = {name: charge_of(group, about) for name, group in learned.items()}
    groups = {**rules, **learned}
    for name, group in groups.items():
        usable = {t: p for t, p in group.items() if t - charges.get(name, 0.0) >= 1}
        if len(usable) >= 2:
            curves[name] = matched_curve(usable, test, clusters, charge=charges.get(name, 0.0), scores=scores)
    rows: dict[str, Any] = {}
    over_rule = {name: curve.over(curves[best_rule]) for name, curve in curves.items()}
    for name, group in groups.items():
        charge = charges.get(name, 0.0)
        if name not in curves:
            rows[name] = {"charge": charge, "too_dear": True}
            continue
        over_confidence = curves[name].over(curves["confidence"])
        seconds = [p.settings.get("processor_seconds", 0) for ps in group.values() for p in ps if name in learned]
        rows[name] = {
            "charge": charge,
            "seeds": len(next(iter(group.values()))),
            "steps": _steps(group),
            "accuracy": curves[name].estimate.tolist(),
            "targets": list(curves[name].targets),
            "landed": _landed(tried.get(name, group), curves[name].targets, calibration, test, scores),
            "over_rule": _interval(over_rule[name].area),
            "over_rule_verdict": over_rule[name].verdict(protocol["margin"]),
            "over_rule_at_targets": _differences(over_rule[name]),
            "over_confidence": _interval(over_confidence.area),
            "at_targets": _differences(over_confidence),
            "mean_processor_seconds": float(np.mean(seconds)) if seconds else None,
        }
    family = [name for name in learned if name in curves]
    adjusted = max_t(
        np.array([over_rule[name].area.estimate for name in family]),
        np.stack([over_rule[name].area_draws() for name in family], axis=1),
    )
    for name, p in zip(family, adjusted, strict=True):
        rows[name]["over_rule_max_t_p"] = float(p)
    gain = {name: rows[name]["over_confidence"]["estimate"] for name in (chosen, best_rule)}
    stopping = rows.get("optimal stopping", {}).get("over_confidence", {}).get("estimate")
    oracle = evaluate(agents.Oracle(), test)
    return {
        "protocol": protocol["version"],
        "fingerprint": traces.info.get("fingerprint"),
        "traces": digest_of(traces),
        "samples": clusters.count,
        "rows_per_sample": len(test) / clusters.count,
        "accuracy": test.accuracy.tolist(),
        "aet": test.aet,
        "empirical_aet": test.empirical_aet,
        "oct": test.oct,
        "oracle": [oracle.accuracy, oracle.mean_timesteps],
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
    variants = list((rule if rule.fitted else rule.fit(rows)).variants(rows))
    curves = [exit_curve(variant, rows) for variant in variants]
    found = {}
    for target in targets:
        entries = [curve.nearest(target) for curve in curves]
        best = max(range(len(variants)), key=lambda i: curves[i].accuracy[entries[i]])
        found[target] = variants[best].at_level(float(curves[best].levels[entries[best]]))
    return found


def charge_of(group: dict[float, list[Any]], about: dict[str, Any]) -> float:
    """Timesteps that the policy's own multiplications cost, at the most decisions that it takes."""
    policy = next(iter(group.values()))[0]
    decisions = 1 if policy.decides == "start" else max(about["targets"])
    return float(policy.macs) * decisions / float(about["macs_per_timestep"])


def _remembered(data_dir: Path | None, cache_dir: Path | None) -> Scores:
    """Scores of traces, kept for the last policies and traces; with images for one-shot policies."""
    known: dict[tuple[int, int], tuple[Any, np.ndarray]] = {}

    def scores(policy: Any, traces: Traces) -> np.ndarray:
        key = id(policy), id(traces)
        if key not in known:
            seen = traces
            if isinstance(policy, agents.TimestepNetwork) and traces.images is None and data_dir is not None:
                seen = with_images(traces, samples_of(data_dir, cache_dir)[traces.split])
            known[key] = policy, policy.trace_scores(seen)  # the policy is kept so that its id stays its own
            if len(known) > _KEPT:
                known.pop(next(iter(known)))
        return known[key][1]

    return scores


def _seeds(policies: dict[float, list[Any]]) -> range:
    return range(len(next(iter(policies.values()))))


def _seed(policies: dict[float, list[Any]], seed: int) -> dict[float, Any]:
    return {t: group[seed] for t, group in policies.items()}


def _steps(group: dict[float, list[Any]]) -> int | None:
    policy = next(iter(group.values()))[0]
    return policy.settings.get("total_timesteps")


def _landed(
    group: dict[float, list[Any]], targets: tuple[float, ...], calibration: Traces, test: Traces, scores: Scores
) -> list[float]:
    """Mean timesteps on test at the levels that meet the targets on calibration."""
    found = []
    for t in targets:
        spent = []
        for policy in group[t]:
            curve = level_curve(scores(policy, calibration), calibration.correct)
            spent.append(exits_at(scores(policy, test), float(curve.levels[curve.nearest(t)])).mean())
        found.append(float(np.mean(spent)))
    return found


def _differences(endpoint: Endpoint) -> list[dict[str, float]]:
    """Each target's difference, with its p-value alone and within the family of targets."""
    by_holm = holm([interval.p_value for interval in endpoint.differences])
    return [
        {**_interval(interval), "adjusted_p": float(p), "max_t_p": float(q)}
        for interval, p, q in zip(endpoint.differences, by_holm, endpoint.adjusted(), strict=True)
    ]


def _interval(interval: DifferenceInterval) -> dict[str, float]:
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high, "p_value": interval.p_value}
