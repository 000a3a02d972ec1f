"""The Markdown page of `benchmarks/shift/shift.py`, from its figures alone."""

from collections import Counter
from typing import Any


def page(found: dict[str, Any]) -> str:
    """The results as a page of Markdown."""
    command, conditions = found["command"], found["conditions"]
    policies = list(dict.fromkeys(row["policy"] for row in found["rows"]))
    rows = {(row["setting"], row["condition"], row["policy"]): row for row in found["rows"]}
    sure = f"{100 * command['confidence']:g}"
    lines = [
        "# Under shift",
        "",
        f"Rendered by `python benchmarks/shift/shift.py --data-dir FOLDER --images {command['images']}`; all figures "
        "are in `benchmarks/shift/shift.json`.",
        "",
        "Policies learn on clean images of split `policy` and are calibrated on clean images of split `calibration`. "
        "The same policies, at the same levels, then decide on corrupted images. Kinds and severities (1 to 5) of "
        "corruption are CIFAR-10-C's; `seenn record --corruption NAME --severity N` records them.",
        "",
        "| condition | value |",
        "| --- | --- |",
        f"| backbone | `{found['fingerprint'][:12]}…` on {found['dataset']}, T = {found['timesteps']} |",
        f"| images | the same {found['images']:,} test images under every corruption |",
        f"| intervals | 95 %, over images and {command['seeds']} seeds of each SEENN-II |",
        "",
        "| corruption, severity | accuracy % at t = 1 | at T | oracle % at timesteps |",
        "| --- | --- | --- | --- |",
    ]
    for name, about in conditions.items():
        first, last, (best, spent) = about["accuracy"][0], about["accuracy"][-1], about["oracle"]
        lines.append(f"| {name} | {100 * first:.2f} | {100 * last:.2f} | {100 * best:.2f} at {spent:.3f} |")

    lines += [
        "",
        f"## Calibrated to {command['target_timesteps']:g} timesteps on clean images",
        "",
        "Accuracy % at mean timesteps; policies run more timesteps on harder images:",
        "",
        *_table(policies, conditions, lambda row: f"{_percent(row['accuracy'])} at {_mean(row)}", rows, "target"),
        "",
        "Accuracy less that of one confidence threshold at the same mean timesteps on the same (corrupted) images, in "
        "points:",
        "",
        *_table(policies[1:], conditions, lambda row: _points(row["over_confidence"]), rows, "target"),
    ]
    for setting, title, what in (
        (
            "accuracy",
            "accuracy is within {} points of T's",
            "Loss through early exit: accuracy at T less accuracy at the exit",
        ),
        ("consistency", "at most {} % of answers differ from T's", "Share of answers at the exit that differ from T's"),
    ):
        bound = f"{100 * command[f'max_{setting}_risk']:g}"
        lines += [
            "",
            f"## Guaranteed on clean images, with {sure} % confidence: {title.format(bound)}",
            "",
            f"{what}, in points, and mean timesteps. **Kept** or **broken**: the whole interval is on that side of the "
            "bound; otherwise open.",
            "",
            *_table(policies, conditions, lambda row, s=setting: _kept(row, s), rows, setting),
            "",
            *_counts(policies, conditions, rows, setting),
        ]
    lines += [
        "",
        "## Conclusions",
        "",
        "- A guarantee holds for images like the calibration images; on others it may hold or not, and a level that "
        "was set on clean images gives no sign of it.",
        "- The reference of all risks is the answer after T timesteps. The loss of the network itself is in the first "
        "table alone.",
        "- Where images may change in use, record some and calibrate on those.",
        "",
        f"Recording took {found['seconds']['recording']} s, the whole run {found['seconds']['all']} s (0 s of "
        "recording: the traces existed), on one thread of a shared machine.",
    ]
    return "\n".join(lines) + "\n"


def _table(policies: list[str], conditions: Any, cell: Any, rows: dict[Any, Any], setting: str) -> list[str]:
    lines = [f"| | {' | '.join(policies)} |", f"| --- |{' --- |' * len(policies)}"]
    for name in conditions:
        cells = [cell(rows[setting, name, policy]) for policy in policies]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _counts(policies: list[str], conditions: Any, rows: dict[Any, Any], setting: str) -> list[str]:
    """One line a policy: how often its bound was kept and broken under shift."""
    lines = []
    for policy in policies:
        shifted = [rows[setting, name, policy] for name in conditions if name != "clean"]
        count = Counter(row["verdict"] for row in shifted)
        full = rows[setting, "clean", policy]["full"]
        note = f" ({full} of {rows[setting, 'clean', policy]['seeds']} run all timesteps)" if full else ""
        told = ", ".join(f"{word} {count[word]}" for word in ("kept", "broken", "open"))
        lines.append(f"- {policy}{note}: of {len(shifted)} shifts {told}")
    return lines


def _percent(interval: dict[str, float]) -> str:
    return f"{100 * interval['estimate']:.2f}"


def _mean(row: dict[str, Any]) -> str:
    return f"{row['mean_timesteps']['estimate']:.3f}"


def _points(interval: dict[str, float]) -> str:
    return f"{100 * interval['estimate']:+.2f} [{100 * interval['low']:+.2f}, {100 * interval['high']:+.2f}]"


def _kept(row: dict[str, Any], setting: str) -> str:
    risk = row[f"{setting}_risk"]
    word = row["verdict"] if row["verdict"] == "open" else f"**{row['verdict']}**"
    inside = f"{100 * risk['estimate']:.2f} [{100 * risk['low']:.2f}, {100 * risk['high']:.2f}]"
    return f"{inside} at {_mean(row)}: {word}"
