"""The Markdown page of `benchmarks/policies/compare.py table`, and the README's part of it, from figures alone."""

import re
from itertools import zip_longest
from typing import Any

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
"""Around the README's part."""

IN_WORDS = {
    "cifar10-jpeg": "CIFAR-10 (JPEG copy)",
    "cifar10-jpeg-qcfs": "CIFAR-10 (JPEG copy), converted network",
    "per-timestep-confidence": "confidence thresholds, one a timestep",
    "per-timestep-margin": "margin thresholds, one a timestep",
    "per-timestep-gap": "thresholds on the gap of logits, one a timestep",
}
"""Networks and rules as the README names them."""

LEARNERS = {
    "exact": "exact gradient",
    "rich": "observing more columns",
    "classes": "observing the likeliest classes",
    "views": "on augmented views",
}
"""Parts of the names of policies as the README names them; others stay."""

ENDPOINTS = {
    "primary": "**Primary endpoint** (declared before the runs)",
    "secondary": "**Second endpoint** (declared before the runs)",
}
EXPLAINED = {
    "superior": "superior: the interval is above 0",
    "non-inferior": (
        "non-inferior, not shown to be superior: the interval holds 0 and its lower end is above -{margin} points"
    ),
    "not shown": "not shown to be non-inferior: the interval reaches below -{margin} points",
    "inferior": "inferior: the interval is below 0",
}


def page(found: dict[str, Any], protocol: dict[str, Any]) -> str:
    """The results as a page of Markdown."""
    explained = "; ".join(_explained(verdict, protocol) for verdict in EXPLAINED)
    lines = [
        "# Results",
        "",
        "Does a learned policy beat the best threshold rule?",
        "",
        *summary(found, protocol).splitlines(),
        "",
        "![Area over the best rule of every policy, with its interval](images/results.svg)",
        "",
        "Near 0 a policy is level with the best rule; to the left of the dotted line it is worse by more than the "
        "margin. Policies that are far behind are stated as numbers at the left.",
        "",
        "| term | meaning |",
        "| --- | --- |",
        "| accuracy | on test, at exactly the stated mean timesteps: every policy's level is set on test here |",
        "| area | mean difference in accuracy over the targets' range, in points; 95 % interval over images, seeds |",
        "| best rule | the rule with the best mean accuracy over the targets on calibration |",
        "| timesteps | include the policy's own multiplications |",
        f"| verdict | by the interval of the area and a margin of {_margin(protocol):g} points: {explained} |",
        "| p of an area | corrected for all learned policies of the network by max-t (bootstrap, step-down; Romano "
        "and Wolf 2005) |",
        "| p of a target | corrected for all targets of its list by max-t, and by Holm's method |",
        "| seeds | of training; a deterministic fit has one |",
        "| steps | of the environment; policies without steps learn from the traces directly |",
        "",
        "From protocol 6 on, the networks of stable-baselines3 are initialised to the policy that the exact gradient "
        "finds at the target.",
        "",
        f"The protocol, version {protocol['version']}, and its history are in `benchmarks/policies/protocol.json`. "
        "`python benchmarks/policies/compare.py run --backbone NAME` trains and compares by it, and renders this "
        "page; all figures are in `benchmarks/policies/policies.json`.",
    ]
    for name, about in found.items():
        lines += ["", f"## {name}", "", *_of_backbone(about, protocol)]
    return "\n".join(lines) + "\n"


def into_readme(text: str, found: dict[str, Any], protocol: dict[str, Any]) -> str:
    """A README with the endpoints between its marks; one without marks stays as it is."""
    if BEGIN not in text or END not in text:
        return text
    before, after = text.split(BEGIN, 1)[0], text.split(END, 1)[1]
    return f"{before}{BEGIN}\n{summary(found, protocol)}{END}{after}"


def summary(found: dict[str, Any], protocol: dict[str, Any]) -> str:
    """One line a backbone: the form of SEENN-II chosen on calibration against the best rule chosen there."""
    lines = [
        "| network | mean timesteps | learned by | over the best rule | over one confidence threshold |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, about in found.items():
        row, accuracy = about["rows"][about["chosen"]], [100 * a for a in about["accuracy"]]
        declared = f", {about['endpoint']} endpoint" if about["endpoint"] in ENDPOINTS else ""
        lines.append(
            f"| {IN_WORDS.get(name, name)}{declared}: {accuracy[0]:.1f} % at t = 1, {accuracy[-1]:.1f} % at "
            f"T = {len(accuracy)} | {row['targets'][0]:g}–{row['targets'][-1]:g} | {_in_words(about['chosen'])} | "
            f"{IN_WORDS.get(about['best_rule'], about['best_rule'])}: **{_points(row['over_rule'])}, "
            f"{row['over_rule_verdict']}** | "
            f"{_points(row['over_confidence'])} |"
        )
    margin = _margin(protocol)
    lines += [
        "",
        "Superior: the interval is above 0; inferior: below 0; "
        f"non-inferior: it holds 0 and is above -{margin:g} points.",
    ]
    return "\n".join(lines) + "\n"


def _in_words(policy: str) -> str:
    """The algorithm of a form of SEENN-II, without the form: every form but the one-shot one is sequential."""
    parts = re.sub(r"^SEENN-II \(|\)$|sequential, ", "", policy).split(", ")
    return ", ".join(LEARNERS.get(part, part) for part in parts)


def _of_backbone(about: dict[str, Any], protocol: dict[str, Any]) -> list[str]:
    accuracy = ", ".join(f"{100 * a:.2f}" for a in about["accuracy"][:: max(1, len(about["accuracy"]) // 8)])
    chosen, best_rule = about["rows"][about["chosen"]], about["best_rule"]
    lines = [
        f"{about['samples']:,} test images × {about['rows_per_sample']:.0f}; accuracy over time (%): {accuracy}; AET "
        f"{about['aet']:.3f}, empirical AET {about['empirical_aet']:.3f}, OCT {about['oct']:.3f}; oracle "
        f"{100 * about['oracle'][0]:.2f} % at {about['oracle'][1]:.3f}.",
    ]
    remarks = []
    if about["protocol"] != protocol["version"]:
        remarks.append(f"protocol {about['protocol']}")
    if about.get("earlier"):
        remarks.append("traces that have been replaced since")
    if remarks:
        lines += ["", f"*These figures are of {' and '.join(remarks)}.*"]
    lines += [
        "",
        f"Chosen on calibration: {best_rule} as the best rule, {about['chosen']} as the form of SEENN-II.",
        "",
        *_choices(about),
        "",
    ]
    verdict = f"{_points(chosen['over_rule'])} points"
    if about["endpoint"] in ENDPOINTS:
        explained = _explained(chosen["over_rule_verdict"], protocol)
        lines.append(
            f"{ENDPOINTS[about['endpoint']]}: the area of {about['chosen']} over {best_rule} between "
            f"{chosen['targets'][0]:g} and {chosen['targets'][-1]:g} timesteps is {verdict}. It is {explained}."
        )
    else:
        lines.append(f"No endpoint was declared here. The area of {about['chosen']} over {best_rule} is {verdict}.")
    share = about["share_of_stopping_gain"]
    if share is not None:
        lines.append(f"Its gain over confidence is {share:.2f} times that of optimal stopping.")
    lines += ["", *_table(about)]
    for name in about.get("left_out", []):
        lines += ["", f"{name} was not run."]
    for title, key in ((best_rule, "over_rule_at_targets"), ("confidence", "at_targets")):
        lines += _targets(about["chosen"], title, chosen, key)
    if chosen["landed"]:
        landed = ", ".join(f"{t:g} → {s:.3f}" for t, s in zip(chosen["targets"], chosen["landed"], strict=True))
        lines += ["", f"Calibrated on calibration, {about['chosen']} lands on test at: {landed}."]
    return lines


def _table(about: dict[str, Any]) -> list[str]:
    heads = [f"{t:g}" for t in about["targets"]]
    lines = [
        f"| policy | seeds | steps | area over best rule | p | area over confidence | {' | '.join(heads)} |",
        f"| --- | --- | --- | --- | --- | --- |{' --- |' * len(heads)}",
    ]
    for name, row in about["rows"].items():
        if row.get("too_dear"):
            lines.append(f"| {name} | | | costs {row['charge']:.2f} timesteps itself | | |{' |' * len(heads)}")
            continue
        shown = dict(zip(row["targets"], row["accuracy"], strict=True))
        cells = [f"{100 * shown[t]:.2f}" if t in shown else "" for t in about["targets"]]
        p, steps = row.get("over_rule_max_t_p"), row.get("steps")
        chance = "" if p is None else _chance(p).removeprefix("= ")
        lines.append(
            f"| {name} | {row['seeds']} | {f'{steps:,}' if steps else ''} | "
            f"{_points(row['over_rule'])} {row['over_rule_verdict']} | {chance} | "
            f"{_points(row['over_confidence'])} | {' | '.join(cells)} |"
        )
    return lines


def _targets(name: str, rival: str, row: dict[str, Any], key: str) -> list[str]:
    if key not in row or any("max_t_p" not in difference for difference in row[key]):
        return []  # of a protocol before the third
    lines = ["", f"{name} over {rival}, in points:", ""]
    lines += ["| target | difference | p, max-t | p, Holm |", "| --- | --- | --- | --- |"]
    for t, d in zip(row["targets"], row[key], strict=True):
        chances = (_chance(d[p]).removeprefix("= ") for p in ("max_t_p", "adjusted_p"))
        lines.append(f"| {t:g} | {_points(d)} | {' | '.join(chances)} |")
    return lines


def _choices(about: dict[str, Any]) -> list[str]:
    """Mean accuracies on calibration, best first: rules in the first columns, forms of SEENN-II in the last."""
    kinds = (about["rules_on_calibration"], about["forms_on_calibration"])
    columns = [sorted(each.items(), key=lambda item: -item[1]) for each in kinds]
    lines = ["| rule | on calibration % | form of SEENN-II | on calibration % |", "| --- | --- | --- | --- |"]
    for pair in zip_longest(*columns):
        cells = (f"{each[0]} | {100 * each[1]:.2f}" if each else " | " for each in pair)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _explained(verdict: str, protocol: dict[str, Any]) -> str:
    return EXPLAINED[verdict].format(margin=f"{_margin(protocol):g}")


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _margin(protocol: dict[str, Any]) -> float:
    return 100 * float(protocol["margin"])


def _points(interval: dict[str, float]) -> str:
    return f"{100 * interval['estimate']:+.2f} [{100 * interval['low']:+.2f}, {100 * interval['high']:+.2f}]"
