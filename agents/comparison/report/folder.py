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
from seenn_env import Evaluation, Traces


def write_report(
    comparison: Comparison,
    members: Mapping[str, Sequence[Any]],
    results: Mapping[str, Sequence[Evaluation]],
    traces: Traces,
    folder: Path,
) -> None:
    """Write everything into a folder, which is made.

    Args:
        comparison: the result.
        members: by name, one policy per seed.
        results: likewise, their evaluations on `traces`.
        traces: the rows of the comparison.
        folder: place of the report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    curves = policy_curves(comparison, members, traces)
    (folder / "table.txt").write_text(comparison.table() + "\n", encoding="utf-8")
    (folder / "comparison.json").write_text(json.dumps(comparison.to_dict(), indent=1) + "\n", encoding="utf-8")
    for name, theme in (("comparison.png", LIGHT), ("comparison-dark.png", DARK)):
        draw(comparison, curves, theme).savefig(folder / name, dpi=150)
    write_html(comparison, curves, members, results, traces, folder / "report.html")
    write_tensorboard(comparison, curves, members, results, traces, folder / "tensorboard")
