"""Observations: named columns of a row after a timestep, computed once for replay and step by step when live.

    observation = make_observation("features", timesteps=8, num_classes=10)
    columns = observation(logits, previous, timestep)             # [B, F] float32

A name is that of a part, or of several joined: "rich+hidden" has the columns of "rich", then the further ones of
"hidden". A user's own observation is an `Observation`, or a function that makes one of a `TraceShape`; as "module:name"
it passes through `gym.make`, JSON and other processes, and is a part too ("rich+module:name"):

    def top_two(shape: TraceShape) -> Observation:
        def columns(logits, previous, timestep, timesteps):
            return np.sort(logits, -1)[:, -2:].clip(-9, 9)
        return Observation("top_two", shape.timesteps, ("second", "first"), low, high, columns)

Letters: B rows, T timesteps, K classes, F columns or features of the last hidden layer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from backbones import InputError
from backbones.argument_checks import Natural, Positive, check_fields, check_kinds
from backbones.errors import counted, shown, unknown_name, users_own
from backbones.tensors import returned_floats
from seenn_env.arrays import large_array, row_chunks
from seenn_env.entry_points import is_entry_point, load_entry_point
from seenn_env.observations.columns import (
    FEATURES,
    GAP_RANGE,
    LOGITS_RANGE,
    MEMBRANE_RANGE,
    RICH,
    clipped_logits,
    features,
    ranked_readout,
    readout,
    rich,
    with_classes,
    with_probe,
)

Columns = Callable[..., np.ndarray]

_CHUNK = 1 << 16
"""Logits of one timestep in a chunk of rows: few enough for the processor's cache."""


@dataclass(frozen=True)
class TraceShape:
    """The sizes of traces that an observation is made for."""

    timesteps: Positive
    """T."""
    num_classes: Positive
    """K."""
    hidden: Natural | None = None
    """F of the pooled spikes; None where there are none."""
    membrane: Natural | None = None
    """F of the pooled potentials; None where there are none."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, eq=False)
class Observation:
    """Columns, their names and their bounds.

    Args:
        name: for errors and logs.
        timesteps: T.
        names: `[F]` of the columns.
        low: `[F]` float32, finite.
        high: `[F]` float32, finite.
        columns: `columns(logits, previous, timestep, timesteps, **probes) -> [B, F]`, within the bounds, each
            row computed from itself alone.
        probes: those of "hidden" and "membrane" (`[B, …]` float32 at the timestep) that `columns` takes by keyword.
        prepare: `columns` gets `prepare(logits)` and `prepare(previous)` instead of the logits; over whole
            traces it is computed once a timestep and kept for the next.
    """

    name: str
    timesteps: Positive
    names: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    columns: Columns
    probes: tuple[str, ...] = ()
    prepare: Callable[[np.ndarray], Any] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        F = len(self.names)
        if np.shape(self.low) != (F,) or np.shape(self.high) != (F,):
            raise InputError(
                f"Expected low and high [{F}] for the {counted(F, 'name')} of the observation {self.name!r}, "
                f"got {list(np.shape(self.low))} and {list(np.shape(self.high))}."
            )
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all() and (self.low <= self.high).all()):
            raise InputError(f"Expected finite bounds, low ≤ high, of the observation {self.name!r}: clip its columns.")

    @check_kinds
    def __call__(
        self, logits: np.ndarray, previous: np.ndarray, timestep: np.ndarray, **probes: np.ndarray
    ) -> np.ndarray:
        """`[B, F]` float32 columns.

        Args:
            logits: `[B, K]` the running logits.
            previous: `[B, K]` those of the timestep before; not read where the timestep is 1.
            timestep: `[B]` from 1.
            probes: `[B, …]` each of `self.probes`.

        Raises:
            InputError: for columns of another shape, or out of bounds.
        """
        arrays, timestep = self._checked("BK", {"logits": logits, "previous": previous}, probes), np.asarray(timestep)
        now, before = arrays["logits"], arrays["previous"]
        if now.shape != before.shape or timestep.shape != now.shape[:1] or timestep.dtype.kind not in "iu":
            raise InputError(
                f"Expected previous {list(now.shape)} as the logits, and timestep [{len(now)}] of whole numbers, got "
                f"{shown(previous)} and {shown(timestep)}."
            )
        return self.of_prepared(self.prepared(now), self.prepared(before), timestep, len(now), arrays)

    @check_kinds
    def of_trace(self, logits: np.ndarray, **probes: np.ndarray) -> np.ndarray:
        """`[N, T, F]` float32 columns of whole traces `[N, T, K]`, with `[N, T, …]` each of `self.probes`."""
        arrays = self._checked("NTK", {"logits": logits}, probes)
        logits = arrays["logits"]
        N, T, K = logits.shape
        result = large_array((N, T, len(self.names)), np.float32)
        chunk = max(1, _CHUNK // K)
        for begin in range(0, N, chunk):
            rows = slice(begin, begin + chunk)
            part = logits[rows]
            before: Any = None
            for t in range(T):
                now = self.prepared(part[:, t])
                at_t = {name: arrays[name][rows, t] for name in self.probes}
                timestep = np.full(len(part), t + 1)
                result[rows, t] = self.of_prepared(now, before if t else now, timestep, len(part), at_t)
                before = now
        if N > 1:
            self._check_rows(logits, arrays, result)
        return result

    def _check_rows(self, logits: np.ndarray, probes: Mapping[str, np.ndarray], result: np.ndarray) -> None:
        """Refuse columns of a row that change with the other rows: live, the others are others."""
        t = logits.shape[1] - 1
        now, before = logits[:1, t], logits[:1, max(t - 1, 0)]
        alone = self(now, before, np.array([t + 1]), **{name: probes[name][:1, t] for name in self.probes})
        if not np.allclose(alone, result[:1, t], rtol=1e-3, atol=1e-3):
            raise InputError(
                f"Expected each row of the observation {self.name!r} to be computed of itself alone, got "
                f"{alone[0].tolist()} of the first row alone, and {result[0, t].tolist()} among {len(result)}."
            )

    def _checked(
        self, axes: str, logits: Mapping[str, np.ndarray], probes: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """The logits and `self.probes` as arrays (mapped files have a slower class of their own); an `InputError` for a
        missing probe, other axes than those letters, or other than finite numbers.
        """
        if missing := set(self.probes) - set(probes):
            raise InputError(f"Expected {' and '.join(sorted(missing))} for the observation {self.name!r}, got none.")
        given = {**logits, **{name: probes[name] for name in self.probes}}
        arrays = {name: np.asarray(values) for name, values in given.items()}
        same = arrays["logits"].shape[: len(axes) - 1]
        for name, array in arrays.items():
            fits = array.ndim == len(axes) and array.shape[:-1] == same and array.size and array.dtype.kind in "fiub"
            if not fits or (name in logits and array.shape[-1] < 2):
                raise InputError(f"Expected {name} [{', '.join(axes)}] of numbers, K ≥ 2, got {shown(given[name])}.")
            if not all(np.isfinite(array[rows]).all() for rows in row_chunks(array)):
                raise InputError(f"Expected finite {name}, got NaN or infinity.")
        return arrays

    def prepared(self, logits: np.ndarray) -> Any:
        """The intermediate result of logits `[B, K]`, shared by this timestep and the next one."""
        logits = logits.astype(np.float32)
        if self.prepare is None:
            return logits
        with users_own(f"prepare(logits) of the observation {self.name!r} to take logits [B, K]"):
            return self.prepare(logits)

    def of_prepared(
        self, now: Any, before: Any, timestep: np.ndarray, count: int, probes: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """`__call__` of `count` rows, from the results of `prepared` at both timesteps."""
        timestep = np.asarray(timestep)
        keywords = {name: probes[name].astype(np.float32) for name in self.probes}
        arguments = ", ".join(("logits", "previous", "timestep", "timesteps", *self.probes))
        with users_own(f"columns({arguments}) of the observation {self.name!r} to return numbers"):
            columns = returned_floats(self.columns(now, before, timestep, self.timesteps, **keywords))
        if columns.shape != (count, len(self.names)):
            raise InputError(
                f"Expected columns [{count}, {len(self.names)}] of the observation {self.name!r}, "
                f"got {list(columns.shape)}: one for each of its names."
            )
        if not ((columns >= self.low) & (columns <= self.high)).all():
            raise InputError(f"Expected the observation {self.name!r} within its bounds: clip it, or widen them.")
        return columns


MakeObservation = Callable[[TraceShape], Observation]
AnyObservation = str | Observation | MakeObservation


Bounds = dict[str, tuple[float, float]]
"""Lowest and highest value of each column, by its name."""

_FEATURE_BOUNDS: Bounds = dict.fromkeys(FEATURES, (0, 1))


def _observation(name: str, shape: TraceShape, bounds: Bounds, columns: Columns, **more: Any) -> Observation:
    low, high = np.array(list(bounds.values()), np.float32).T
    return Observation(name, shape.timesteps, tuple(bounds), low, high, columns, **more)


def _make_features(shape: TraceShape) -> Observation:
    return _observation("features", shape, _FEATURE_BOUNDS, features, prepare=readout)


def _make_logits(shape: TraceShape) -> Observation:
    logits = {f"logit_{k}": (-LOGITS_RANGE, LOGITS_RANGE) for k in range(shape.num_classes)}
    return _observation("logits", shape, {**logits, "elapsed": (0, 1)}, clipped_logits)


def _make_probed(name: str, low: float, high: float) -> MakeObservation:
    def make(shape: TraceShape) -> Observation:
        F = getattr(shape, name) or 0  # where there is none, `make_observation` refuses it
        bounds = {**_FEATURE_BOUNDS, **{f"{name}_{f}": (low, high) for f in range(F)}}
        columns = partial(with_probe, low=low, high=high)
        return _observation(name, shape, bounds, columns, probes=(name,), prepare=readout)

    return make


def _make_rich(shape: TraceShape) -> Observation:
    probabilities = (f"probability_{i + 1}" for i in range(min(5, shape.num_classes)))
    bounds: Bounds = dict.fromkeys((*FEATURES, *RICH, *probabilities), (0, 1))
    bounds |= {"gap": (0, GAP_RANGE), **dict.fromkeys(("top_logit", "log_sum_exp"), (-LOGITS_RANGE, LOGITS_RANGE))}
    return _observation("rich", shape, bounds, rich, prepare=ranked_readout)


def _make_classes(shape: TraceShape) -> Observation:
    classes = (f"{place}_{k}" for place in ("first", "second") for k in range(shape.num_classes))
    bounds: Bounds = dict.fromkeys((*FEATURES, *classes), (0, 1))
    return _observation("classes", shape, bounds, with_classes, prepare=ranked_readout)


OBSERVATIONS: dict[str, MakeObservation] = {
    "features": _make_features,
    "logits": _make_logits,
    "rich": _make_rich,
    "classes": _make_classes,
    "hidden": _make_probed("hidden", 0.0, 1.0),
    "membrane": _make_probed("membrane", -MEMBRANE_RANGE, MEMBRANE_RANGE),
}
"""Parts of observations, by name."""

_OF_LOGITS = {"features", "logits", "rich", "classes"}


def reads_logits_alone(observation: AnyObservation) -> bool:
    """Whether the name of an observation shows that it reads the logits alone."""
    return isinstance(observation, str) and set(observation.split("+")) <= _OF_LOGITS


@check_kinds
def make_observation(
    observation: AnyObservation,
    *,
    timesteps: Positive,
    num_classes: Positive,
    hidden: Natural | None = None,
    membrane: Natural | None = None,
) -> Observation:
    """The observation of a name or a sum of names, or a user's own ("module:name", a function that makes it, itself);
    an `InputError` for a part that is unknown or named twice, one whose probe is missing, or one for another T.
    """
    shape = TraceShape(timesteps, num_classes, hidden, membrane)
    parts = [_make_part(part, shape) for part in parts_of(observation)]
    made = parts[0] if len(parts) == 1 else _join(str(observation), parts)
    for name in made.probes:
        if getattr(shape, name, None) is None:
            raise InputError(
                f"Expected {name} for the observation {made.name!r}, got none: record with {name}=True, "
                "or run a backbone live whose probe(state) returns it."
            )
    return made


def parts_of(observation: AnyObservation) -> list[AnyObservation]:
    """The parts of a sum of names, or a user's own alone; an `InputError` for a part that is unknown or named twice."""
    if not isinstance(observation, str):
        return [observation]
    names = observation.split("+")
    for name in names:
        if name in ("image", "image_float"):
            raise InputError(f"Expected columns, got the observation {name!r}: only ChooseTimestep shows the image.")
        if name not in OBSERVATIONS and not is_entry_point(name):
            raise unknown_name("observation", name, OBSERVATIONS)
    if len(set(names)) < len(names):
        raise InputError(
            f"Expected every part of an observation once, got {observation!r}: join some of {', '.join(OBSERVATIONS)}."
        )
    return [*names]


def _make_part(part: AnyObservation, shape: TraceShape) -> Observation:
    made: object = part
    if isinstance(part, str):
        made = OBSERVATIONS[part] if part in OBSERVATIONS else load_entry_point(part, "observation")
    if not isinstance(made, Observation) and callable(made):
        with users_own(f"a function of a TraceShape, got {shown(made)}"):
            made = made(shape)
    if not isinstance(made, Observation):
        raise InputError(f"Expected an Observation, or a function of a TraceShape that makes one, got {shown(made)}.")
    if made.timesteps != shape.timesteps:
        raise InputError(f"Expected an observation for T = {shape.timesteps}, got {made.name!r} for {made.timesteps}.")
    return made


def _join(name: str, parts: Sequence[Observation]) -> Observation:
    """The columns of several observations side by side; of those with one name, the first."""
    first: dict[str, int] = {}
    for place, column in enumerate(column for part in parts for column in part.names):
        first.setdefault(column, place)
    kept = list(first.values())
    low, high = (np.concatenate([getattr(part, bound) for part in parts])[kept] for bound in ("low", "high"))
    probes = tuple(dict.fromkeys(probe for part in parts for probe in part.probes))
    columns, prepare = partial(_joined_columns, parts, kept), partial(_prepared_by_all, parts)
    return Observation(name, parts[0].timesteps, tuple(first), low, high, columns, probes, prepare)


def _prepared_by_all(parts: Sequence[Observation], logits: np.ndarray) -> tuple[Any, ...]:
    return tuple(part.prepared(logits) for part in parts)


def _joined_columns(
    parts: Sequence[Observation],
    kept: list[int],
    now: Any,
    before: Any,
    timestep: np.ndarray,
    timesteps: int,
    **probes: np.ndarray,
) -> np.ndarray:
    columns = [
        part.columns(at, earlier, timestep, timesteps, **{name: probes[name] for name in part.probes})
        for part, at, earlier in zip(parts, now, before, strict=True)
    ]
    return np.concatenate(columns, axis=-1)[:, kept]
