"""The Markdown page of `benchmarks/policies/compare.py table`, and the README's part of it, from figures alone."""

from typing import Any

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
"""Around the README's part."""

ENDPOINTS = {
    "primary": "**Primary endpoint** (declared before the runs)",
    "secondary": "**Second endpoint** (declared before the runs)",
}
EXPLAINED = {
    "superior": "superior: the interval is above 0",
    "non-inferior": "non-inferior, not shown to be superior: the interval holds 0 and ends above -{margin} points",
    "not shown": "not shown to be non-inferior: the interval reaches below -{margin} points",
    "inferior": "inferior: the interval is below 0",
}


def page(found: dict[str, Any], protocol: dict[str, Any]) -> str:
    """The results as a page of Markdown."""
    lines = [
        "# Results",
        "",
        "Rendered by `python benchmarks/policies/compare.py run --backbone NAME` by the protocol in "
        "`benchmarks/policies/protocol.json`",
        "from the policies that it trains; all figures are in `benchmarks/policies/policies.json`.",
        "",
        "Accuracy at exactly the stated mean timesteps on test, levels set in hindsight for all alike, the policy's",
        "own multiplications charged. Areas between curves are mean differences in accuracy over the range of",
        "targets, in points, with 95 % intervals over images and seeds. The rival is the best rule on calibration.",
        "",
        "**Which p-values.** Verdicts are of an area's own interval: one comparison. Where several comparisons stand",
        "side by side, p is corrected by max-t (bootstrap, step-down, Romano and Wolf 2005): in the column p, of the",
        "area over the best rule, for the family of all learned policies of a backbone; in the lists of targets, for",
        "the family of that list's targets, with Holm's correction of the same p-values beside it.",
        "",
        f"Verdicts use a margin of {_margin(protocol):g} points: "
        f"{'; '.join(_explained(verdict, protocol) for verdict in EXPLAINED)}.",
        "Seeds are those of training; a policy whose fit has no chance in it has one. Steps are those of the",
        "environment; policies without them learn from the traces themselves. From protocol 6 on, the networks of",
        "stable-baselines3 begin as the policy that the exact learner finds at the target, and learn from there.",
    ]
    for name, about in found.items():
        lines += ["", f"## {name}", "", *_of_backbone(about, protocol)]
    lines += ["", "## Protocol", ""]
    lines += [f"- {version}: {what}" for version, what in protocol["history"].items()]
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
        "| network | timesteps | SEENN-II, the form chosen on calibration | over the best rule | over one confidence threshold |",  # noqa: E501
        "| --- | --- | --- | --- | --- |",
    ]
    for name, about in found.items():
        row, accuracy = about["rows"][about["chosen"]], [100 * a for a in about["accuracy"]]
        declared = f", {about['endpoint']} endpoint" if about["endpoint"] in ENDPOINTS else ""
        lines.append(
            f"| {name}{declared}: {accuracy[0]:.1f} % at t = 1, {accuracy[-1]:.1f} % at T = {len(accuracy)} "
            f"| {row['targets'][0]:g}–{row['targets'][-1]:g} | {about['chosen']}, seeds: {row['seeds']} | "
            f"{about['best_rule']}: **{_points(row['over_rule'])}, {row['over_rule_verdict']}** | "
            f"{_points(row['over_confidence'])} |"
        )
    lines += ["", f"Superior: the interval is above 0; non-inferior: it ends above -{_margin(protocol):g} points."]
    return "\n".join(lines) + "\n"


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
        f"Chosen on calibration: {best_rule} as the best rule ({_choices(about['rules_on_calibration'])}), "
        f"{about['chosen']} as the form of SEENN-II ({_choices(about['forms_on_calibration'])}).",
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
        lines.append(f"Its gain over confidence is {share:.2f} of optimal stopping's.")
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
    lines = ["", f"{name} over {rival}, at each target:", ""]
    for t, d in zip(row["targets"], row[key], strict=True):
        lines.append(f"- {t:g}: {_points(d)}, max-t p {_chance(d['max_t_p'])}, Holm's p {_chance(d['adjusted_p'])}")
    return lines


def _choices(accuracies: dict[str, float]) -> str:
    """What was chosen among, from the best down."""
    ordered = sorted(accuracies.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * accuracy:.2f}" for name, accuracy in ordered)


def _explained(verdict: str, protocol: dict[str, Any]) -> str:
    return EXPLAINED[verdict].format(margin=f"{_margin(protocol):g}")


def _chance(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _margin(protocol: dict[str, Any]) -> float:
    return 100 * float(protocol["margin"])


def _points(interval: dict[str, float]) -> str:
    return f"{100 * interval['estimate']:+.2f} [{100 * interval['low']:+.2f}, {100 * interval['high']:+.2f}]"
