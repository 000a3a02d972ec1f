"""The folder of a report: table.txt, comparison.json, pictures, report.html, TensorBoard."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.comparison.report.curves import policy_curves
from agents.comparison.report.figure import DARK, LIGHT, draw
from agents.comparison.report.html import write_html
from agents.comparison.report.tensorboard import write_tensorboard
from agents.comparison.result import Comparison
from backbones.atomic import open_atomic, write_atomic
from seenn_env import Evaluation, Traces


def write_report(
    comparison: Comparison,
    members: Mapping[str, Sequence[Any]],
    results: Mapping[str, Sequence[Evaluation]],
    traces: Traces,
    folder: Path,
) -> None:
    """Write a folder, which is made: of `members`, one policy per seed by name, and their `results` on the traces."""
    curves = policy_curves(comparison, members, traces)
    write_atomic(folder / "table.txt", comparison.table() + "\n")
    write_atomic(folder / "comparison.json", json.dumps(comparison.to_dict(), indent=1) + "\n")
    for name, theme in (("comparison.png", LIGHT), ("comparison-dark.png", DARK)):
        with open_atomic(folder / name) as file:
            draw(comparison, curves, theme).savefig(file, format="png", dpi=150)
    write_html(comparison, curves, members, results, traces, folder / "report.html")
    write_tensorboard(comparison, curves, members, results, traces, folder / "tensorboard")
