"""Compact traces: what policies and reports need of a network's answers, without all of its logits.

    small = Traces.load("imagenet.safetensors").compact(k=5)      # K = 1,000: about a fortieth of the size
    small.save("imagenet-compact.safetensors")

Letters: N rows, T timesteps, K classes, k of them kept, F columns of the observation "features".
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from backbones import InputError
from seenn_env.columns import FEATURES
from seenn_env.observations import AnyObservation, Observation
from seenn_env.storage import COMPACT_FORMAT, read_only, row_chunks
from seenn_env.traces import Traces

TOP = ("top_logits", "top_classes", "log_sum_exp", "features")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class CompactTraces(Traces):
    """Traces with the k largest logits of each timestep and the observation "features".

    Predictions, their statistics and the columns "features" are those of the full traces, bit for bit: the
    columns are kept as they were computed. What takes all logits is refused.

    Args:
        top_logits: `[N, T, k]` in the dtype of the full logits, from the largest down.
        top_classes: `[N, T, k]` uint16 or int32, theirs; of equal logits the lower class comes first.
        log_sum_exp: `[N, T]` float32, log Σ exp of all K logits: `exp(top_logits - log_sum_exp)` are probabilities.
        features: `[N, T, F]` float32, the columns of the observation "features".
        classes: K.

    The other arguments are those of `Traces`.
    """

    ROW_FIELDS: ClassVar[tuple[str, ...]] = (*TOP, "labels", "sample", "repeat", "energy_pj", "operations", "spikes")
    FORMAT: ClassVar[str] = COMPACT_FORMAT

    logits: np.ndarray = field(init=False)
    hidden: None = field(init=False, default=None)
    membrane: None = field(init=False, default=None)
    top_logits: np.ndarray
    top_classes: np.ndarray
    log_sum_exp: np.ndarray
    features: np.ndarray
    classes: int

    def __getattr__(self, name: str) -> Any:
        if name == "logits":  # it is never set
            raise InputError(
                f"Expected traces with all logits, got compact ones, which keep {self.top_logits.shape[-1]} of "
                f"{self.classes} at each timestep: use the full traces."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _check_answers(self) -> None:
        N, T, k = self.top_logits.shape if self.top_logits.ndim == 3 else (0, 0, 0)
        fits = len(self.labels) == N and min(N, T) >= 1 and 1 <= k <= self.classes
        shapes = {"top_classes": (N, T, k), "log_sum_exp": (N, T), "features": (N, T, len(FEATURES))}
        if not fits or any(getattr(self, name).shape != shape for name, shape in shapes.items()):
            got = ", ".join(f"{name} {list(getattr(self, name).shape)}" for name in TOP)
            raise InputError(
                f"Expected top_logits and top_classes [N, T, k], log_sum_exp [N, T], features [N, T, {len(FEATURES)}] "
                f"and labels [N] with 1 ≤ k ≤ K, got {got}, labels [{len(self.labels)}] and K = {self.classes}."
            )

    def _stored_info(self) -> dict[str, Any]:
        return {**self.info, "num_classes": self.classes}

    @property
    def timesteps(self) -> int:
        """T."""
        return int(self.top_logits.shape[1])

    @property
    def num_classes(self) -> int:
        """K."""
        return self.classes

    @cached_property
    def predictions(self) -> np.ndarray:
        """`[N, T]` int64: the class with the largest logit after each timestep."""
        self._check_seal()
        return read_only(self.top_classes[..., 0].astype(np.int64))

    def observation(self, observation: AnyObservation) -> Observation:
        """The observation "features" for these traces' T and K.

        Raises:
            InputError: for any other observation.
        """
        if observation != "features" and getattr(observation, "name", None) != "features":
            name = getattr(observation, "name", observation)
            raise InputError(
                f"Expected the observation 'features' of compact traces, got {name!r}: use the full traces for it."
            )
        return super().observation(observation)

    def columns(self, observation: AnyObservation) -> np.ndarray:
        """`[N, T, F]` float32: those of the full traces, bit for bit."""
        self.observation(observation)
        self._check_seal()
        return np.asarray(self.features)

    def compact(self, k: int = 5) -> "CompactTraces":
        """These traces, where k is what they keep.

        Raises:
            InputError: for another k.
        """
        if k != self.top_logits.shape[-1]:
            raise InputError(
                f"Expected k = {self.top_logits.shape[-1]}, as these traces are compact already, got {k}: "
                "start from the full traces."
            )
        return self


def compact_traces(traces: Traces, k: int) -> CompactTraces:
    """See `Traces.compact`."""
    N, T, K = traces.logits.shape
    if not 1 <= k <= K:
        raise InputError(f"Expected k from 1 to K = {K}, got {k}.")
    features = traces.columns("features")
    top_logits = np.empty((N, T, k), traces.logits.dtype)
    top_classes = np.empty((N, T, k), np.uint16 if K <= 1 << 16 else np.int32)
    log_sum_exp = np.empty((N, T), np.float32)
    for rows in row_chunks(traces.logits):
        logits = traces.logits[rows].astype(np.float32)
        highest = logits.max(-1, keepdims=True)
        log_sum_exp[rows] = (highest + np.log(np.exp(logits - highest).sum(-1, keepdims=True)))[..., 0]
        for place in range(k):
            best = logits.argmax(-1)[..., None]
            top_classes[rows, :, place] = best[..., 0]
            top_logits[rows, :, place] = np.take_along_axis(logits, best, -1)[..., 0]
            np.put_along_axis(logits, best, -np.inf, -1)
    return CompactTraces(
        top_logits=top_logits,
        top_classes=top_classes,
        log_sum_exp=log_sum_exp,
        features=features,
        classes=K,
        labels=traces.labels,
        split=traces.split_codes,
        sample=traces.sample,
        repeat=traces.repeat,
        energy_pj=traces.energy_pj,
        operations=traces.operations,
        spikes=traces.spikes,
        images=traces.images,
        image_index=traces.image_index,
        info=traces.info,
        trusted=True,
    )
