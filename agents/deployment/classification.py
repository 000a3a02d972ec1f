"""Any policy over any number of images, live: the network stops where the policy exits.

    result = classify(images, backbone, policy, num_slots=128)
    result.predictions, result.timesteps, result.images_per_second

Letters: N images, B slots, T timesteps, C channels, H × W pixels.
"""

import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from agents.deployment.energy import EnergySample, ExitEnergy, counted, sample_of, stacked
from agents.deployment.inputs import Item, ReadAhead, read_items
from agents.rules.score import check_timesteps
from backbones import Backbone, InputError, SlotPool
from backbones.argument_checks import check_kinds
from backbones.contract import encoding_of
from backbones.machine import named_device
from seenn_env import Policy, stream
from seenn_env.evaluation import decides
from seenn_env.observations import AnyObservation, softmax
from seenn_env.streaming import Exits


@dataclass(frozen=True)
class Answer:
    """What was found out about one image."""

    place: int
    """Of the image in the inputs, from 0."""
    name: str
    """The file, or the place or index."""
    prediction: int
    """The class; -1 where the image could not be used."""
    timesteps: int
    """That the network ran; 0 where the image could not be used."""
    confidence: float
    """The largest probability at the exit."""
    problem: str | None = None
    """Why the image could not be used."""


@dataclass(frozen=True)
class Classification:
    """The answers in the order of the inputs."""

    predictions: np.ndarray
    """`[N]` int64; -1 where an image could not be used."""
    timesteps: np.ndarray
    """`[N]` int64 in 1…T; 0 where an image could not be used."""
    confidence: np.ndarray
    """`[N]` float32."""
    broken: tuple[Answer, ...]
    """The images that could not be used."""
    seconds: float
    """From the first image asked for to the last answer, reading included."""
    energy: ExitEnergy | None = None
    """Of a sample of the images; None where it was not asked for, or the backbone cannot be counted."""
    class_names: tuple[str, ...] = ()
    """`[K]` of the classes that predictions count, where the backbone knows them."""

    @property
    def images_per_second(self) -> float:
        """Images that got an answer, over all of the time."""
        return (len(self.predictions) - len(self.broken)) / self.seconds

    @property
    def mean_timesteps(self) -> float:
        """Of the images that got an answer; NaN where none did."""
        ran = self.timesteps[self.timesteps > 0]
        return float(ran.mean()) if len(ran) else float("nan")


@check_kinds
def classify(
    inputs: Any, backbone: Backbone, policy: Policy | Any, *, energy_images: int = 256, **settings: Any
) -> Classification:
    """Answers for all inputs, in their order.

    Then the energy of some images is counted, outside `seconds`; see `agents.deployment.energy`.

    Args:
        inputs: see `agents.deployment.inputs.read_items`.
        backbone: the frozen network.
        policy: anything with `predict`.
        energy_images: of how many images at most the energy is counted; 0 for none.
        settings: those of `answers`.

    Raises:
        InputError: for inputs that are none, a policy that decides in hindsight, or one made for another T.
    """
    found: list[tuple[int, int, float]] = []
    broken: list[Answer] = []
    sample = sample_of(backbone, energy_images)
    begin = time.perf_counter()
    for answer in answers(inputs, backbone, policy, sample=sample, **settings):
        found.append((answer.prediction, answer.timesteps, answer.confidence))
        if answer.problem is not None:
            broken.append(answer)
    seconds = time.perf_counter() - begin
    predictions, timesteps, confidence = zip(*found, strict=True) if found else ((), (), ())
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
    dtype: str = "float32",
    shrink: bool = False,
    device: str | None = None,
    sample: EnergySample | None = None,
) -> Iterator[Answer]:
    """The answers one by one, in constant memory however many inputs there are.

    A thread reads at most 2·B images ahead of the network and waits for it; images that cannot be used are
    answered with their problem, and the others go on. Which images are in the network together never
    changes an answer (see `SlotPool`).

    Args:
        inputs: see `agents.deployment.inputs.read_items`.
        backbone: the frozen network; `backbone.optimize()` is the fast form.
        policy: anything with `predict`.
        num_slots: B, rows that the network runs at once.
        in_order: of the inputs; False gives each answer as soon as it is there.
        observation: what the policy reads, where it does not say so itself.
        input_shape: of one image, where the backbone does not say so itself.
        resize: fit image files of another size.
        dtype: logits are rounded through it, as by traces of that dtype.
        shrink: make the batch smaller when the inputs run out.
        device: where the network runs, a copy of it if it is elsewhere (default: where it is).
        sample: is shown the images and when they leave.

    Raises:
        InputError: as `classify`.
    """
    if dtype not in ("float32", "float16"):
        raise InputError(f"Expected dtype 'float32' or 'float16', got {dtype!r}.")
    decides(policy)  # or refuse it now
    check_timesteps(policy, backbone.timesteps)
    shape = input_shape or getattr(backbone, "sample_shape", None)
    if shape is None:
        raise InputError(f"Expected input_shape, since a {type(backbone).__name__} does not say it: pass it.")
    backbone = on_device(backbone, device)
    feed = _Feed(
        ReadAhead(read_items(inputs, shape, resize=resize, encoding=encoding_of(backbone)), 2 * num_slots), sample
    )
    pool = SlotPool(backbone, num_slots)
    settings: dict[str, Any] = {"observation": observation, "dtype": dtype, "shrink": shrink}

    def finished() -> Iterator[Answer]:
        for exits in stream(pool, feed, policy, **settings):
            yield from feed.unusable()
            yield from feed.named(exits)
        yield from feed.unusable()

    try:
        yield from _in_order(finished()) if in_order else finished()
    finally:
        feed.reader.close()


def on_device(backbone: Any, device: str | None) -> Backbone:
    """The backbone where it is, or a copy of it (of another kind of backbone, what its own `to` gives) on a device.

    Raises:
        InputError: for an unknown device, or a backbone that is elsewhere and cannot be moved.
    """
    place = backbone.device if device is None else named_device(device)
    if torch.zeros((), device=place).device == torch.zeros((), device=backbone.device).device:
        found: Backbone = backbone
    elif isinstance(backbone, nn.Module):
        found = cast(Any, deepcopy(backbone).to(place))
    elif hasattr(backbone, "to"):
        found = backbone.to(place)
    else:
        raise InputError(
            f"Expected a backbone on {place}, or one that can be moved there (to), got a {type(backbone).__name__} on "
            f"{backbone.device}: make it there, or leave device out."
        )
    return found


class _Feed:
    """Images for the pool; remembers what each one is called until it leaves."""

    def __init__(self, reader: ReadAhead, sample: EnergySample | None = None) -> None:
        self.reader, self.sample = reader, sample
        self.read = 0
        self.fed = 0
        self._inside: dict[int, tuple[int, str]] = {}
        self._unusable: list[Answer] = []

    def __call__(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        while items := self.reader.take(count):
            good: list[Item] = []
            for item in items:
                if item.image is None:
                    self._unusable.append(Answer(self.read, item.name, -1, 0, 0.0, item.problem))
                else:
                    self._inside[self.fed] = self.read, item.name
                    if self.sample is not None:
                        self.sample.offer(self.read, item.image, item.key)
                    self.fed += 1
                    good.append(item)
                self.read += 1
            if good:
                return stacked([item.image for item in good]), np.array([item.key for item in good], np.int64)
        return np.empty((0,)), np.empty((0,), np.int64)

    def unusable(self) -> list[Answer]:
        """Those met since the last call."""
        found, self._unusable = self._unusable, []
        return found

    def named(self, exits: Exits) -> Iterator[Answer]:
        """The answers of images that left."""
        confidence = softmax(exits.logits.astype(np.float64)).max(-1)
        columns = (exits.places, exits.predictions, exits.timesteps, confidence)
        for fed, prediction, timesteps, sure in zip(*(column.tolist() for column in columns), strict=True):
            place, name = self._inside.pop(fed)
            if self.sample is not None:
                self.sample.left(place, timesteps)
            yield Answer(place, name, prediction, timesteps, sure)


def _in_order(found: Iterator[Answer]) -> Iterator[Answer]:
    """By place; a row stays for T steps at the most, so few answers ever wait."""
    early: dict[int, Answer] = {}
    due = 0
    for answer in found:
        early[answer.place] = answer
        while due in early:
            yield early.pop(due)
            due += 1
