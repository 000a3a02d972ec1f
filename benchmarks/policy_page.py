"""The page of Markdown that `benchmarks/policies.py table` writes, from its figures alone."""

from typing import Any

EARLIER = (
    "*These figures are by protocol 1, whose multiplications of a timestep were estimates: 93 M for `cifar10-jpeg` "
    "(counted since: 91.6 M), 0.332 M for `digits` (0.324 M) and 40 M for `cifar10-jpeg-qcfs` (2.55 M). On the last, "
    "the exact SEENN-II was charged 0.0009 timesteps where 0.0143 are due.*"
)


def page(found: dict[str, Any]) -> str:
    """The results as a page of Markdown."""
    lines = [
        "# Results",
        "",
        "Rendered by `python benchmarks/policies.py table` by the protocol in `benchmarks/protocol.json` from the",
        "policies in `benchmarks/results/policies/`; all figures are in `benchmarks/results/policies.json`.",
        "",
        "Accuracy at exactly the stated mean timesteps on test, levels set in hindsight for all alike, the policy's",
        "own multiplications charged. Areas between curves are mean differences in accuracy over the range of",
        "targets, in points, with 95 % intervals over images and seeds. The rival is the best rule on calibration.",
        "",
        "**Policies of stable-baselines3 are charged nothing yet**, as they do not say their multiplications. PPO's",
        "network has 4,608: about 0.0001 timesteps on CIFAR-10 (JPEG copy), but 0.03 on digits (at the most decisions",
        "charged, two) and 0.03 on the converted network (at sixteen), so its rows on those two are too good.",
    ]
    for name, about in found.items():
        lines += ["", f"## {name}", "", *_of_backbone(about)]
    return "\n".join(lines) + "\n"


def _of_backbone(about: dict[str, Any]) -> list[str]:
    accuracy = ", ".join(f"{100 * a:.2f}" for a in about["accuracy"][:: max(1, len(about["accuracy"]) // 8)])
    chosen = about["rows"][about["chosen"]]
    lines = [
        f"{about['samples']:,} test images × {about['rows_per_sample']:.0f}; accuracy over time (%): {accuracy}; AET "
        f"{about['aet']:.3f}, empirical AET {about['empirical_aet']:.3f}, OCT {about['oct']:.3f}; oracle "
        f"{100 * about['oracle'][0]:.2f} % at {about['oracle'][1]:.3f}.",
        "",
        f"Best rule on calibration: {about['best_rule']}. Form of SEENN-II chosen on calibration: {about['chosen']}.",
    ]
    if about["protocol"] < 2:
        lines += ["", EARLIER, ""]
    if about["endpoint"] != "none":
        lines.append(
            f"**{about['endpoint'].capitalize()} endpoint**: its area over the best rule is "
            f"{_points(chosen['over_rule'])} points: **{chosen['over_rule_verdict']}** (margin 0.2)."
        )
    share = about["share_of_stopping_gain"]
    if share is not None:
        lines.append(f"Its gain over confidence is {share:.2f} of optimal stopping's.")
    heads = [f"{t:g}" for t in about["targets"]]
    lines += [
        "",
        f"| policy | seeds | area over best rule | area over confidence | {' | '.join(heads)} |",
        f"| --- | --- | --- | --- |{' --- |' * len(heads)}",
    ]
    for name, row in about["rows"].items():
        if row.get("too_dear"):
            lines.append(f"| {name} | | costs {row['charge']:.2f} timesteps itself | |{' |' * len(heads)}")
            continue
        shown = dict(zip(row["targets"], row["accuracy"], strict=True))
        cells = [f"{100 * shown[t]:.2f}" if t in shown else "" for t in about["targets"]]
        lines.append(
            f"| {name} | {row['seeds']} | {_points(row['over_rule'])} {row['over_rule_verdict']} | "
            f"{_points(row['over_confidence'])} | {' | '.join(cells)} |"
        )
    lines += ["", f"{about['chosen']} over confidence, at each target (p after Holm):", ""]
    for t, d in zip(chosen["targets"], chosen["at_targets"], strict=True):
        lines.append(f"- {t:g}: {_points(d)}, p = {d['adjusted_p']:.3f}")
    if chosen["landed"]:
        landed = ", ".join(f"{t:g} → {s:.3f}" for t, s in zip(chosen["targets"], chosen["landed"], strict=True))
        lines += ["", f"Calibrated on calibration, it lands on test at: {landed}."]
    return lines


def _points(interval: dict[str, float]) -> str:
    return f"{100 * interval['estimate']:+.2f} [{100 * interval['low']:+.2f}, {100 * interval['high']:+.2f}]"
