"""Live classification: the network stops for each image where the policy exits.

    result = classify(images, backbone, policy, num_slots=128)
    result.predictions, result.timesteps, result.images_per_second

Letters: N images, B slots, T timesteps, C channels, H × W pixels.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import nn

from agents.deployment.energy import EnergySample, ExitEnergy, counted, sample_of, stacked
from agents.deployment.inputs import Item, ReadAhead, read_items
from backbones import Backbone, InputError, SlotPool
from backbones.argument_checks import check_kinds
from backbones.contract import encoding_of
from backbones.errors import kind_of
from backbones.machine import named_device
from backbones.one_line import one_line
from seenn_env import Policy, stream
from seenn_env.evaluation import check_trained_for, decides
from seenn_env.observations import AnyObservation, softmax
from seenn_env.streaming import Exits


@dataclass(frozen=True)
class Answer:
    """The answer for one image."""

    place: int
    """Of the image in the inputs, from 0."""
    name: str
    """The file, or the index in the dataset, or the place."""
    prediction: int
    """The class; -1 for an unusable image."""
    timesteps: int
    """Timesteps of the network; 0 for an unusable image."""
    confidence: float
    """The largest probability at the exit."""
    problem: str | None = None
    """The reason for which the image is unusable."""


@dataclass(frozen=True)
class Classification:
    """The answers in the order of the inputs."""

    predictions: np.ndarray
    """`[N]` int64; -1 for an unusable image."""
    timesteps: np.ndarray
    """`[N]` int64 in 1…T; 0 for an unusable image."""
    confidence: np.ndarray
    """`[N]` float32."""
    broken: tuple[Answer, ...]
    """Answers for the unusable images."""
    seconds: float
    """From the request for the first image to the last answer, reading included."""
    energy: ExitEnergy | None = None
    """Of a sample of the images; None for `energy_images=0`, or a backbone whose operations cannot be counted."""
    class_names: tuple[str, ...] = ()
    """`[K]`, where the backbone has them."""

    __repr__ = one_line

    @property
    def images_per_second(self) -> float:
        """Usable images per second."""
        return (len(self.predictions) - len(self.broken)) / self.seconds

    @property
    def mean_timesteps(self) -> float:
        """Of the usable images; NaN for none."""
        timesteps = self.timesteps[self.timesteps > 0]
        return float(timesteps.mean()) if len(timesteps) else float("nan")


@check_kinds
def classify(
    inputs: Any, backbone: Backbone, policy: Policy | Any, *, energy_images: int = 256, **settings: Any
) -> Classification:
    """Answers for all inputs, in their order.

    A warning says where every image is unusable; `Classification.broken` has the reasons.

    The energy of a sample of the images is counted afterwards, outside `seconds`; see `agents.deployment.energy`.

    Args:
        inputs: see `agents.deployment.inputs.read_items`.
        backbone: the frozen network.
        policy: anything with `predict`.
        energy_images: images of the sample, at most; 0 for none.
        settings: those of `answers`.

    Raises:
        InputError: for inputs of another kind, or a policy that decides in hindsight or was trained for another T or
            backbone.
    """
    columns: list[tuple[int, int, float]] = []
    broken: list[Answer] = []
    sample = sample_of(backbone, energy_images)
    begin = time.perf_counter()
    for answer in answers(inputs, backbone, policy, sample=sample, **settings):
        columns.append((answer.prediction, answer.timesteps, answer.confidence))
        if answer.problem is not None:
            broken.append(answer)
    seconds = time.perf_counter() - begin
    if columns and len(broken) == len(columns):
        warnings.warn(
            f"Expected usable images, got none among {len(columns)}: the first {broken[0].problem}.", stacklevel=3
        )
    predictions, timesteps, confidence = zip(*columns, strict=True) if columns else ((), (), ())
    return Classification(
        np.array(predictions, np.int64),
        np.array(timesteps, np.int64),
        np.array(confidence, np.float32),
        tuple(broken),
        seconds,
        counted(sample),
        tuple(getattr(backbone, "class_names", ())),
    )


@check_kinds
def answers(
    inputs: Any,
    backbone: Backbone,
    policy: Policy | Any,
    *,
    num_slots: int = 128,
    in_order: bool = True,
    observation: AnyObservation | None = None,
    input_shape: Sequence[int] | None = None,
    resize: bool = False,
    dtype: Literal["float32", "float16"] = "float32",
    shrink: bool = False,
    device: str | None = None,
    sample: EnergySample | None = None,
) -> Iterator[Answer]:
    """The answers one by one, in constant memory for any number of inputs.

    A thread reads at most 2·B images ahead of the network. An unusable image is answered with its problem, and the
    stream continues. The images that share a batch do not change each other's answers (see `SlotPool`).

    Args:
        inputs: see `agents.deployment.inputs.read_items`.
        backbone: the frozen network; `backbone.optimize()` is its inference form.
        policy: anything with `predict`.
        num_slots: B, slots of the pool.
        in_order: yield answers in the order of the inputs; False yields each when it is complete.
        observation: of a policy without one of its own.
        input_shape: of one image, for a backbone without `sample_shape`.
        resize: resize image files of another size.
        dtype: logits are rounded to it, as in traces of that dtype.
        shrink: reduce the batch when the inputs end.
        device: of the network, which is copied there if it is elsewhere (default: its own).
        sample: collects images and their exits.
    """
    decides(policy)  # refuses a policy before the backbone runs
    check_trained_for(policy, backbone)
    shape = input_shape or getattr(backbone, "sample_shape", None)
    if shape is None:
        raise InputError(f"Expected input_shape for {kind_of(backbone)}, which has no sample_shape: pass it.")
    backbone = on_device(backbone, device)
    feed = _Feed(
        ReadAhead(read_items(inputs, shape, resize=resize, encoding=encoding_of(backbone)), 2 * num_slots), sample
    )
    pool = SlotPool(backbone, num_slots)
    settings: dict[str, Any] = {"observation": observation, "dtype": dtype, "shrink": shrink}

    def completed() -> Iterator[Answer]:
        for exits in stream(pool, feed, policy, **settings):
            yield from feed.unusable()
            yield from feed.named(exits)
        yield from feed.unusable()

    try:
        yield from _in_order(completed()) if in_order else completed()
    finally:
        feed.reader.close()


def on_device(backbone: Any, device: str | None) -> Backbone:
    """The backbone itself, or a copy of it on another device (by its own `to`, if it is no module); an `InputError` for
    an unknown device, or a backbone on another one that cannot be moved.
    """
    place = backbone.device if device is None else named_device(device)
    if torch.zeros((), device=place).device == torch.zeros((), device=backbone.device).device:
        moved: Backbone = backbone
    elif isinstance(backbone, nn.Module):
        moved = cast(Any, deepcopy(backbone).to(place))
    elif hasattr(backbone, "to"):
        moved = backbone.to(place)
    else:
        raise InputError(
            f"Expected a backbone on {place}, or one that can be moved there (to), got {kind_of(backbone)} on "
            f"{backbone.device}: make it there, or omit device."
        )
    return moved


class _Feed:
    """Images for the pool, with the place and name of each until its exit."""

    def __init__(self, reader: ReadAhead, sample: EnergySample | None = None) -> None:
        self.reader, self.sample = reader, sample
        self.read = 0
        self.fed = 0
        self._running: dict[int, tuple[int, str]] = {}
        """By the number of usable images fed before: place and name."""
        self._unusable: list[Answer] = []

    def __call__(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        while items := self.reader.take(count):
            usable: list[Item] = []
            for item in items:
                if item.image is None:
                    self._unusable.append(Answer(self.read, item.name, -1, 0, 0.0, item.problem))
                else:
                    self._running[self.fed] = self.read, item.name
                    if self.sample is not None:
                        self.sample.offer(self.read, item.image, item.key)
                    self.fed += 1
                    usable.append(item)
                self.read += 1
            if usable:
                return stacked([item.image for item in usable]), np.array([item.key for item in usable], np.int64)
        return np.empty((0,)), np.empty((0,), np.int64)

    def unusable(self) -> list[Answer]:
        """Answers for the unusable images since the last call."""
        answers, self._unusable = self._unusable, []
        return answers

    def named(self, exits: Exits) -> Iterator[Answer]:
        """The answers for exits of the pool."""
        confidence = softmax(exits.logits.astype(np.float64)).max(-1)
        columns = (exits.places, exits.predictions, exits.timesteps, confidence)
        for fed, prediction, timesteps, probability in zip(*(column.tolist() for column in columns), strict=True):
            place, name = self._running.pop(fed)
            if self.sample is not None:
                self.sample.exit(place, timesteps)
            yield Answer(place, name, prediction, timesteps, probability)


def _in_order(completed: Iterator[Answer]) -> Iterator[Answer]:
    """Answers by place; an image takes at most T steps, so the buffer is short."""
    early: dict[int, Answer] = {}
    place = 0
    for answer in completed:
        early[answer.place] = answer
        while place in early:
            yield early.pop(place)
            place += 1
