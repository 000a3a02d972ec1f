"""`seenn benchmark`: throughput of live early exit, beside the limit set by the mean exit timestep.

With c the cost of an image's stem and s that of a timestep, all T timesteps cost c + T·s an image, and a mean exit at
t̄ costs at least c + t̄·s. The times of all contenders include the observation and the policy.

Letters: B slots, T timesteps, R rounds.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import backbones as bb
from agents.calibration.level_search import calibrate
from agents.commands.benchmark.contenders import Contenders, Prescribed, Turn, prescribed_times
from agents.rules.thresholds import Margin
from backbones.errors import counted
from backbones.networks import InferenceNetwork, SpikingNetwork
from backbones.packaged_files import is_packaged
from seenn_env import Policy, record

FULL, REUSED, STEM = "all T timesteps", "all T, memory reused", "stem alone"
MASK, WAIT, ONE = "post-hoc mask", "leave when all have exited", "batch 1"
TARGETS = (1.15, 1.4)
AIM, AIM_FEW_SLOTS = 0.96, 0.93
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
_BATCH = 128
"""Largest batch on a CPU for contenders without a pool: larger ones are no faster."""


@dataclass(frozen=True)
class LiveSettings:
    """Settings of the measurement; see the options of `seenn benchmark`."""

    backbone: str
    data_dir: Path | None
    slots: tuple[int, ...]
    dtype: str
    compile: bool
    device: str
    rounds: int
    seed: int
    clock: str
    images: int


def measure_live(settings: LiveSettings) -> tuple[dict[str, Any], str]:
    """JSON-able figures and the table."""
    plain = bb.load(settings.backbone, device=settings.device)
    calibration, shown = _samples(settings, plain)
    backbone = plain.optimize(
        dtype=settings.dtype, compile=settings.compile, calibration=calibration, min_agreement=None
    )
    traces = record(backbone, calibration, batch_size=64)
    policies: dict[str, Policy] = {}
    for target in TARGETS:
        policies[f"margin, calibrated to {target}"] = calibrate(Margin(), traces, target_timesteps=target)
        times = prescribed_times(target, backbone.timesteps, settings.seed)
        policies[f"prescribed, mean {target}"] = Prescribed(times)
    report = backbone.report
    assert report is not None
    result: dict[str, Any] = {
        "settings": {
            name: value.name if isinstance(value, Path) else value for name, value in asdict(settings).items()
        },
        "fingerprint": plain.fingerprint,
        "form": backbone.form,
        "images": f"{shown.dataset}, {shown.split}",
        "agreement": report.agreement.tolist(),
        "accuracy_before": report.accuracy_before.tolist(),
        "accuracy_after": report.accuracy_after.tolist(),
        "slots": {},
    }
    before, after = (
        " ".join(f"{value:.4f}" for value in each) for each in (report.accuracy_before, report.accuracy_after)
    )
    lines = [
        f"{backbone.form}, {_place(settings.device)}, {settings.clock} seconds, "
        f"{counted(settings.rounds, 'interleaved round')}",
        f"beside the plain form on {report.samples} calibration images: agreement ≥ {report.agreement.min():.4f}, "
        f"accuracy by timestep {before} before, {after} after",
    ]
    for B in settings.slots:
        figures, more = _measure_slots(backbone, shown.images, B, policies, settings)
        result["slots"][B] = figures
        lines += ["", *more]
    return result, "\n".join(lines)


def _measure_slots(
    backbone: InferenceNetwork, images: np.ndarray, B: int, policies: dict[str, Policy], settings: LiveSettings
) -> tuple[dict[str, Any], list[str]]:
    batch, pooled, single = (
        Contenders(backbone, images, count, CLOCKS[settings.clock])
        for count in (min(B, _BATCH) if settings.device == "cpu" else B, B, 1)
    )
    first = next(iter(policies.values()))
    turns: dict[str, Callable[[], Turn]] = {
        FULL: batch.full,
        REUSED: lambda: batch.full(reuse=True),
        STEM: batch.stem,
        MASK: lambda: batch.together(first, stop=False),
        WAIT: lambda: batch.together(first, stop=True),
        ONE: single.live(first),
        **{name: pooled.live(policy) for name, policy in policies.items()},
    }
    # The references run before and after each of the others, because the machine's speed drifts.
    references, others = (FULL, REUSED, STEM), [name for name in turns if name not in (FULL, REUSED, STEM)]
    order = [*references, *(each for name in others for each in (name, *references))]
    rounds = [[turns[name]() for name in order] for _ in range(settings.rounds + 1)]
    images_, row_steps, seconds = np.array(rounds[1:], float).transpose(2, 0, 1)  # [R, turns]; the first warms up
    price = seconds / images_
    best = min((FULL, REUSED), key=lambda name: np.median(price[:, _places(order, name)]))
    full, c = (price[:, _places(order, name)] for name in (best, STEM))
    s = (np.median(full) - np.median(c)) / backbone.timesteps
    figures: dict[str, Any] = {"c_seconds": float(np.median(c)), "s_seconds": float(s), "held_against": best}
    figures["contenders"] = {}
    lines = [f"{counted(B, 'slot')}: c = {1e3 * np.median(c):.3f} ms, s = {1e3 * s:.3f} ms an image, of {best!r}"]
    lines.append(
        f"{'contender':<30} {'images/s':>9} {'timesteps':>9} {'× full T':>8} {'limit':>6}   share of limit [95 %]"
    )
    for name in (FULL, REUSED, *others):
        its = _places(order, name)
        rate, mean = 1 / price[:, its], float(row_steps[:, its].sum() / images_[:, its].sum())
        full_then, c_then = (around(price, order, each, its) for each in (best, STEM))
        speedup = (full_then / price[:, its]).mean(1)
        # The least time of the turn's work, at the prices around it, over its measured time.
        s_then = (full_then - c_then) / backbone.timesteps
        share = ((images_[:, its] * c_then + row_steps[:, its] * s_then) / seconds[:, its]).mean(1)
        limit = float(np.median(full) / (np.median(c) + mean * s))
        low, high = median_interval(share, settings.seed)
        figures["contenders"][name] = {
            "images_per_second": np.quantile(rate, [0.25, 0.5, 0.75]).tolist(),
            "row_steps_per_image": mean,
            "speedup": float(np.median(speedup)),
            "limit": limit,
            "share_of_limit": float(np.median(share)),
            "interval": [low, high],
        }
        lines.append(
            f"{name:<30} {np.median(rate):>9.1f} {mean:>9.3f} {np.median(speedup):>8.2f} {limit:>6.2f}   "
            f"{np.median(share):.3f} [{low:.3f}, {high:.3f}]"
        )
    lines.append(f"aim: share ≥ {AIM if B >= _BATCH else AIM_FEW_SLOTS} of the limit, for margin and prescribed")
    return figures, lines


def _places(order: list[str], name: str) -> list[int]:
    return [place for place, each in enumerate(order) if each == name]


def around(price: np.ndarray, order: list[str], name: str, places: list[int]) -> np.ndarray:
    """`[R, places]` mean of the prices `[R, turns]` of that name at each place, or just before and after it."""
    its = np.array(_places(order, name))
    before, after = (np.searchsorted(its, places, side) for side in ("right", "left"))
    near = its[np.clip([before - 1, after], 0, len(its) - 1)]
    return price[:, near].mean(1)


def median_interval(values: np.ndarray, seed: int, resamples: int = 10_000) -> tuple[float, float]:
    """95 % bootstrap interval of the median over the rounds."""
    rows = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(np.median(values[rows], 1), [0.025, 0.975])
    return float(low), float(high)


def _place(device: str) -> str:
    return "one thread" if device == "cpu" else torch.cuda.get_device_name(torch.device(device))


def _samples(settings: LiveSettings, network: SpikingNetwork) -> tuple[bb.Samples, bb.Samples]:
    """Images to calibrate on, and images to stream; noise where there are none."""
    if settings.data_dir is not None:
        splits = bb.load_dataset("folder", settings.data_dir)
    elif is_packaged(settings.backbone):
        splits = bb.load_dataset(settings.backbone)
    else:
        rng = np.random.default_rng(settings.seed)
        images = rng.integers(256, size=(settings.images, *network.input_shape)).astype(np.uint8)
        labels, names = np.zeros(len(images), np.int64), tuple(str(k) for k in range(network.num_classes))
        noise = bb.Samples(images, labels, np.arange(len(images)), names, "noise", "calibration")
        return noise, noise
    return splits.calibration.evenly(settings.images), splits.test.evenly(settings.images)
