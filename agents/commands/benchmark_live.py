"""What `seenn benchmark live` measures: early exit that really stops, against the most that it could save.

With c the cost of an image's stem and s that of a timestep, all T timesteps cost c + T·s an image and mean
exit t̄ at least c + t̄·s. Every contender does all that its name says, observation and policy included.

Letters: B slots, T timesteps, R rounds.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import backbones as bb
from agents.calibration import calibrate
from agents.rules import Margin
from seenn_env import Policy, make_observation, record, stream
from seenn_env.packaged import is_packaged, packaged_file

FULL, STEM, MASK, WAIT, ONE = "all T timesteps", "stem alone", "post-hoc mask", "leave when all have exited", "batch 1"
TARGETS = (1.15, 1.4)
AIM, AIM_LOW = 0.97, 0.95
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
_ROW_STEPS = 256
"""Of a pool in one turn, about."""
_BATCH = 128
"""Rows of a batch at most, for contenders without a pool: more are no faster."""


@dataclass(frozen=True)
class LiveSettings:
    """What to measure, and on what."""

    backbone: str
    data_dir: Path | None
    slots: tuple[int, ...]
    dtype: str
    rounds: int
    seed: int
    clock: str
    images: int


class Turn(NamedTuple):
    """What a contender did in its turn."""

    images: int
    row_steps: int
    seconds: float


class Prescribed:
    """Exits at times that are given beforehand, in the order in which rows begin."""

    observation = "features"

    def __init__(self, times: np.ndarray) -> None:
        self.times = times

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]`; the state holds each row's time, its timestep, and how many times are used up."""
        B = len(observation)
        due, timestep, used = state or (np.zeros(B, np.int64), np.zeros(B, np.int64), 0)
        starts = np.zeros(B, bool) if episode_start is None else episode_start
        count = np.count_nonzero(starts)
        due[starts] = self.times[(used + np.arange(count)) % len(self.times)]
        timestep = np.where(starts, 1, timestep + 1)
        return (timestep >= due).astype(np.int64), (due, timestep, used + count)


def prescribed_times(mean: float, timesteps: int, seed: int, count: int = 10_007) -> np.ndarray:
    """`[count]` exit times in 1…T of that mean: at each timestep the same share goes on."""
    shares = np.linspace(0, 1, 10_001)
    share = shares[np.argmin(np.abs(sum(shares**t for t in range(timesteps)) - mean))]
    goes_on = np.random.default_rng(seed).random((count, timesteps - 1)) < share
    times: np.ndarray = 1 + np.cumprod(goes_on, 1).sum(1)
    return times


class Endless:
    """Images round and round."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.given = images, 0

    def __call__(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See `seenn_env.streaming.Feed`."""
        rows = (self.given + np.arange(count)) % len(self.images)
        self.given += count
        return self.images[rows], rows


class Contenders:
    """Each a method that takes a turn with B rows."""

    def __init__(self, backbone: bb.InferenceNetwork, images: np.ndarray, B: int, clock: Callable[[], float]) -> None:
        self.backbone, self.B, self.clock, self.T = backbone, B, clock, backbone.timesteps
        self.feed = Endless(images)
        self.spec = make_observation("features", timesteps=self.T, num_classes=backbone.num_classes)

    def stem(self) -> Turn:
        """Start B rows, and no more."""
        begin = self.clock()
        self._start()
        return Turn(self.B, 0, self.clock() - begin)

    def full(self) -> Turn:
        """All T timesteps, no policy."""
        begin = self.clock()
        state = self._start()
        for _ in range(self.T):
            logits, state = self.backbone.advance(state)
        logits.cpu()
        return Turn(self.B, self.B * self.T, self.clock() - begin)

    def together(self, policy: Policy, *, stop: bool) -> Turn:
        """A batch under a policy; over when all have exited if `stop`, else after T (the post-hoc mask)."""
        begin = self.clock()
        state, memory, running, steps = self._start(), None, np.ones(self.B, bool), 0
        previous = np.zeros((self.B, self.backbone.num_classes), np.float32)
        while steps < self.T and (running.any() or not stop):
            logits, state = self.backbone.advance(state)
            steps, now = steps + 1, logits.cpu().numpy()
            columns = self.spec(now, previous, np.full(self.B, steps))
            actions, memory = policy.predict(columns, memory, np.full(self.B, steps == 1))
            running &= actions == 0
            previous = now
        return Turn(self.B, self.B * steps, self.clock() - begin)

    def live(self, policy: Policy) -> Callable[[], Turn]:
        """A stream that never ends; a turn is some steps of its pool."""
        pool = bb.SlotPool(self.backbone, self.B)
        exits = stream(pool, self.feed, policy)
        done = 0
        step = pool.step

        def counted() -> torch.Tensor:
            nonlocal done
            done += 1
            return step()

        pool.step = counted  # type: ignore[method-assign]

        def turn() -> Turn:
            begin, before, images = self.clock(), done, 0
            while done - before < max(1, min(_ROW_STEPS, 32 * self.B) // self.B):
                images += len(next(exits).places)
            return Turn(images, self.B * (done - before), self.clock() - begin)

        turn()  # fills the pool
        return turn

    def _start(self) -> Any:
        images, keys = self.feed(self.B)
        return self.backbone.start(torch.from_numpy(images), torch.from_numpy(keys))


def measure_live(settings: LiveSettings) -> tuple[dict[str, Any], str]:
    """JSON-able figures and the table."""
    plain = _load(settings.backbone)
    calibration, shown = _samples(settings, plain)
    backbone = plain.optimize(dtype=settings.dtype, calibration=calibration, min_agreement=None)
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
            name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()
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
        f"{backbone.form}, one thread, {settings.clock} seconds, {settings.rounds} interleaved rounds",
        f"beside the plain form on {report.samples} calibration images: agreement ≥ {report.agreement.min():.4f}, "
        f"accuracy by timestep {before} before, {after} after",
    ]
    for B in settings.slots:
        figures, more = _measure_slots(backbone, shown.images, B, policies, settings)
        result["slots"][B] = figures
        lines += ["", *more]
    return result, "\n".join(lines)


def _measure_slots(
    backbone: bb.InferenceNetwork, images: np.ndarray, B: int, policies: dict[str, Policy], settings: LiveSettings
) -> tuple[dict[str, Any], list[str]]:
    batch, pooled, single = (
        Contenders(backbone, images, count, CLOCKS[settings.clock]) for count in (min(B, _BATCH), B, 1)
    )
    first = next(iter(policies.values()))
    turns: dict[str, Callable[[], Turn]] = {
        FULL: batch.full,
        STEM: batch.stem,
        MASK: lambda: batch.together(first, stop=False),
        WAIT: lambda: batch.together(first, stop=True),
        ONE: single.live(first),
        **{name: pooled.live(policy) for name, policy in policies.items()},
    }
    rounds: dict[str, list[Turn]] = {name: [] for name in turns}
    for turn in range(settings.rounds + 1):
        for name, work in turns.items():
            done = work()
            if turn:  # the first warms up
                rounds[name].append(done)
    images_, row_steps, seconds = (
        {name: np.array([turn[i] for turn in each], float) for name, each in rounds.items()} for i in range(3)
    )
    full = seconds[FULL] / images_[FULL]
    c = seconds[STEM] / images_[STEM]
    s = (full - c) / backbone.timesteps
    figures: dict[str, Any] = {"c_seconds": float(np.median(c)), "s_seconds": float(np.median(s)), "contenders": {}}
    lines = [f"{B} slots: c = {1e3 * np.median(c):.3f} ms, s = {1e3 * np.median(s):.3f} ms an image"]
    lines.append(
        f"{'contender':<30} {'images/s':>9} {'timesteps':>9} {'× full T':>8} {'limit':>6}   share of limit [95 %]"
    )
    for name in turns:
        if name == STEM:
            continue
        rate, speedup = images_[name] / seconds[name], full * images_[name] / seconds[name]
        mean = float(row_steps[name].sum() / images_[name].sum())
        # What a turn had to compute, at the round's own prices, over what it took.
        share = (images_[name] * c + row_steps[name] * s) / seconds[name]
        limit = float(np.median(full) / (np.median(c) + mean * np.median(s)))
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
    lines.append(f"aim: share ≥ {AIM} of the limit, lower end ≥ {AIM_LOW}, for margin and prescribed")
    return figures, lines


def median_interval(values: np.ndarray, seed: int, resamples: int = 10_000) -> tuple[float, float]:
    """95 % bootstrap interval of the median over rounds."""
    rows = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(np.median(values[rows], 1), [0.025, 0.975])
    return float(low), float(high)


def _load(name: str) -> bb.SpikingNetwork:
    return bb.load(packaged_file("backbone", name) if is_packaged("backbone", name) else name)


def _samples(settings: LiveSettings, network: bb.SpikingNetwork) -> tuple[bb.Samples, bb.Samples]:
    """Images to calibrate on, and images to stream; made up where there are none."""
    if settings.data_dir is not None:
        splits = bb.load_dataset("folder", settings.data_dir)
    elif is_packaged("backbone", settings.backbone):
        splits = bb.load_dataset(settings.backbone)
    else:
        rng = np.random.default_rng(settings.seed)
        images = rng.integers(256, size=(settings.images, *network.input_shape)).astype(np.uint8)
        labels, names = np.zeros(len(images), np.int64), tuple(str(k) for k in range(network.num_classes))
        noise = bb.Samples(images, labels, np.arange(len(images)), names, "noise", "calibration")
        return noise, noise
    some = slice(settings.images)
    return splits.calibration.select(some), splits.test.select(some)
