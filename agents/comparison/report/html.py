"""The report of a comparison as one HTML file, which asks for nothing from the network.

Letters: N rows, T timesteps, K classes.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from agents.comparison.report.answer import LEVEL, answer, verdicts
from agents.comparison.report.curves import PolicyCurve
from agents.comparison.report.provenance import facts_of, policy_facts
from agents.comparison.result import Comparison, Row
from backbones.atomic import write_atomic
from seenn_env import Evaluation, Traces
from seenn_env.rendering import enlarge

PATHS = {
    "o": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    "s": "M-4.5-4.5h9v9h-9z",
    "D": "M0-6L6 0 0 6-6 0z",
    "^": "M0-6L5.5 4.5h-11z",
    "v": "M0 6L5.5-4.5h-11z",
    "P": "M-2-5.5h4v3.5h3.5v4h-3.5v3.5h-4v-3.5h-3.5v-4h3.5z",
    "X": "M-5.5-3L-3-5.5 0-2.5 3-5.5 5.5-3 2.5 0 5.5 3 3 5.5 0 2.5-3 5.5-5.5 3-2.5 0z",
    "x": "M-4.5-3.5L-3.5-4.5 0-1 3.5-4.5 4.5-3.5 1 0 4.5 3.5 3.5 4.5 0 1-3.5 4.5-4.5 3.5-1 0z",
}
"""Outline of each marker of `curves`, within ±6."""
DASHES = {"-": "none", "--": "7 4", ":": "2 3", "-.": "8 3 2 3"}
"""Dash pattern of each line style of `curves`."""
THUMBNAIL = 64
"""Largest side of an image in the gallery, in pixels."""
GALLERY_BYTES = 2_500_000
"""Largest size of all images together."""


def write_html(
    comparison: Comparison,
    curves: Sequence[PolicyCurve],
    members: Mapping[str, Sequence[Any]],
    results: Mapping[str, Sequence[Evaluation]],
    traces: Traces,
    path: Path,
) -> None:
    """Write the page; arguments are those of `write_report`, with the curves."""
    folder = Path(__file__).parent / "page"
    script = (folder / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": lambda part: f"{100 * part:.2f}",
        "points": lambda part: f"{100 * part:+.2f}".replace("-", "−"),
        "p": "{:.4f}".format,
        "words": _words,
    }
    rows = [row for curve in curves for row in curve.rows]
    shown = [row for row in rows if row.exit_shares.max() < 1] or rows
    names = [str(name) for name in traces.info.get("class_names") or range(traces.num_classes)]
    images, galleries = _galleries(shown, results, traces)
    data = {
        "timesteps": comparison.timesteps,
        "reference": comparison.reference,
        "curves": [_curve_data(comparison, curve) for curve in curves],
        "classes": {"names": names, "rows": np.bincount(traces.labels, minlength=len(names)).tolist()},
        "images": images,
        "places": [
            {"name": row.name, **_class_means(results[row.name], traces), "gallery": galleries.get(row.name, [])}
            for row in shown
        ],
    }
    page = environment.get_template("page.html").render(
        comparison=comparison,
        curves=curves,
        named={curve.name: curve for curve in curves},
        row_curves={row.name: curve for curve in curves for row in curve.rows},
        shown={row.name for row in shown},
        paths=PATHS,
        answer=answer(comparison),
        verdicts=verdicts(comparison),
        level=LEVEL,
        metered=all(row.energy_pj is not None for row in comparison.rows),
        has_images=bool(images),
        untested=_untested(comparison),
        facts=facts_of(comparison, traces),
        policies=[policy_facts(curve, members[curve.rows[0].name]) for curve in curves],
        data=data,
        script=Markup(script),
        script_digest=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
    )
    write_atomic(path, page.encode())


def _curve_data(comparison: Comparison, curve: PolicyCurve) -> dict[str, Any]:
    rows = []
    for row in curve.rows:
        difference = comparison.difference(row.name)
        rows.append(
            {
                "name": row.name,
                "target": row.target,
                "timesteps": row.mean_timesteps,
                "accuracy": _interval(row.accuracy),
                "seeds": row.seeds,
                "difference": difference and {**_interval(difference.interval), "p": difference.adjusted_p},
            }
        )
    return {
        "name": curve.name,
        "kind": curve.kind,
        "color": curve.color,
        "path": PATHS[curve.marker],
        "dash": DASHES[curve.dash],
        "line": curve.line.round(5).tolist(),
        "rows": rows,
    }


def _interval(interval: Any) -> dict[str, float]:
    return {name: round(getattr(interval, name), 6) for name in ("estimate", "low", "high")}


def _class_means(results: Sequence[Evaluation], traces: Traces) -> dict[str, list[float | None]]:
    """`[K]` accuracy and mean exit timestep of each class, over rows and seeds; None for a class without rows."""
    count = np.bincount(traces.labels, minlength=traces.num_classes)
    means = {}
    for name, field in (("accuracy", "correct"), ("exits", "exit_timesteps")):
        values = np.mean([getattr(each, field) for each in results], axis=0)
        sums = np.bincount(traces.labels, values, traces.num_classes)
        means[name] = [round(total / n, 4) if n else None for total, n in zip(sums.tolist(), count, strict=True)]
    return means


def _galleries(
    rows: Sequence[Row], results: Mapping[str, Sequence[Evaluation]], traces: Traces
) -> tuple[list[str], dict[str, list[Any]]]:
    """Images as data URIs, and for each policy `[timestep, [[image, label, prediction], …]]` of its first seed.

    Policies share one random order of the rows, so that they share most images.
    """
    if traces.images is None:
        return [], {}
    order = np.random.default_rng(0).permutation(len(traces))
    encoded: dict[int, str] = {}
    for most in (12, 8, 4, 2, 1):
        chosen = {
            row.name: [
                (t, _entries(results[row.name][0], traces, order, t, most)) for t in range(1, traces.timesteps + 1)
            ]
            for row in rows
        }
        used = {sample: row for gallery in chosen.values() for _, entries in gallery for row, sample, *_ in entries}
        encoded |= {sample: _data_uri(traces, row) for sample, row in used.items() if sample not in encoded}
        if sum(len(encoded[sample]) for sample in used) <= GALLERY_BYTES:
            break
    places = {sample: place for place, sample in enumerate(used)}
    galleries = {
        name: [(t, [(places[sample], *answers) for _, sample, *answers in entries]) for t, entries in gallery]
        for name, gallery in chosen.items()
    }
    return [encoded[sample] for sample in used], galleries


def _entries(result: Evaluation, traces: Traces, order: np.ndarray, t: int, most: int) -> list[tuple[int, ...]]:
    """Row, sample, label and prediction of at most `most` rows that exit at t, in that order, no sample twice."""
    found: dict[int, tuple[int, ...]] = {}
    for row in order[result.exit_timesteps[order] == t].tolist():
        if len(found) == most:
            break
        sample = int(traces.sample[row])
        found.setdefault(sample, (row, sample, int(traces.labels[row]), int(result.predictions[row])))
    return list(found.values())


def _data_uri(traces: Traces, row: int) -> str:
    """The image of a row as PNG, at most `THUMBNAIL` pixels a side."""
    assert traces.images is not None
    image = traces.images[traces.image_places[row]]
    picture = Image.fromarray(enlarge(image, min(THUMBNAIL, max(image.shape[1:]))))
    file = BytesIO()
    (picture.convert("L") if len(image) == 1 else picture).save(file, "png", optimize=True)
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()


def _untested(comparison: Comparison) -> list[str]:
    """Learned policies without a difference from the best rule."""
    if comparison.reference is None:
        return []
    return [row.name for row in comparison.rows if row.kind == "learned" and comparison.difference(row.name) is None]


def _words(value: Any) -> str:
    """A fact in one line; the parts of a nested one are named."""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{name} ({_words(each)})" if isinstance(each, Mapping) else f"{name} {each}"
            for name, each in value.items()
        )
    return str(value)
