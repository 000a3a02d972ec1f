"""What live answers cost: picojoules of a sample of the images, each up to the timestep at which it left.

    sample = EnergySample(backbone, size=256)
    for answer in answers(images, backbone, policy, sample=sample): …
    energy = sample.count()                           # after the answers, on the network's plain form
    energy.mean_pj, energy.images, energy.seconds

The form for inference fires around its neurons and cannot be counted; the plain form has its weights, and its answers
but for roundings.

Letters: M images of the sample, R of a batch.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from backbones import Backbone, InputError
from backbones.energy import EnergyModel, Metered
from backbones.networks import InferenceNetwork

_BATCH = 64


@dataclass(frozen=True)
class ExitEnergy:
    """Energy of M images that were drawn evenly at random from those with an answer; all of them, if they are few."""

    places: np.ndarray
    """`[M]` int64: which images, by their places in the inputs."""
    energy_pj: np.ndarray
    """`[M]` float64: of the network's operations up to and with the exit; the policy's own are not in it."""
    seconds: float
    """What counting took, after the answers."""

    @property
    def images(self) -> int:
        """M."""
        return len(self.places)

    @property
    def mean_pj(self) -> float:
        """An image; NaN for none."""
        return float(self.energy_pj.mean()) if len(self.energy_pj) else float("nan")


class EnergySample:
    """Keeps M images of a stream of any length, each as likely as any other (reservoir sampling).

    Args:
        backbone: what gives the answers; of an `InferenceNetwork`, its plain form is counted.
        size: M at most.
        seed: of the drawing.
        model: what an operation costs.

    Raises:
        InputError: for a size below 1, or a backbone whose operations cannot be counted.
    """

    def __init__(self, backbone: Backbone, *, size: int = 256, seed: int = 0, model: EnergyModel | None = None) -> None:
        if size < 1:
            raise InputError(f"Expected at least 1 image to count the energy of, got {size}.")
        self.metered = Metered(backbone.plain if isinstance(backbone, InferenceNetwork) else backbone)
        self.size, self.model = size, model or EnergyModel()
        self._rng = np.random.default_rng(seed)
        self._kept: list[tuple[int, Any, int]] = []
        """Place, image and key of each."""
        self._where: dict[int, int] = {}
        self._exits: dict[int, int] = {}
        self._seen = 0

    def offer(self, place: int, image: np.ndarray, key: int) -> None:
        """An image that goes into the network."""
        self._seen += 1
        if len(self._kept) < self.size:
            at = len(self._kept)
            self._kept.append((place, image.copy(), key))
        else:
            at = int(self._rng.integers(self._seen))
            if at >= self.size:
                return
            gone = self._kept[at][0]
            del self._where[gone]
            self._exits.pop(gone, None)
            self._kept[at] = (place, image.copy(), key)
        self._where[place] = at

    def left(self, place: int, timesteps: int) -> None:
        """When an image left."""
        if place in self._where:
            self._exits[place] = timesteps

    def count(self) -> ExitEnergy:
        """Run the images of the sample again, counted, each for as many timesteps as it had.

        Raises:
            InputError: for a backbone none of whose layers runs as a module.
        """
        begin = time.perf_counter()
        kept = sorted((entry for entry in self._kept if entry[0] in self._exits), key=lambda entry: entry[0])
        exits = np.array([self._exits[place] for place, _, _ in kept], np.int64)
        energy = np.zeros(len(kept))
        for timesteps in np.unique(exits):
            alike = np.flatnonzero(exits == timesteps)
            for first in range(0, len(alike), _BATCH):
                rows = alike[first : first + _BATCH]
                energy[rows] = self._energy([kept[row] for row in rows], int(timesteps))
        places = np.array([place for place, _, _ in kept], np.int64)
        return ExitEnergy(places, energy, time.perf_counter() - begin)

    def _energy(self, entries: list[tuple[int, Any, int]], timesteps: int) -> np.ndarray:
        """`[R]` of images that ran equally long."""
        images = stacked([image for _, image, _ in entries])
        state = self.metered.start(torch.from_numpy(images), torch.tensor([key for _, _, key in entries]))
        for _ in range(timesteps):
            _, state = self.metered.step(state)
        energy: np.ndarray = self.model.energy_pj(state.operations).cpu().numpy()
        return energy


def sample_of(backbone: Backbone, energy_images: int) -> EnergySample | None:
    """A sample of so many images; None for 0, or a backbone that cannot be counted.

    Raises:
        InputError: for a number below 0.
    """
    if energy_images < 0:
        raise InputError(f"Expected energy_images ≥ 0, got {energy_images}.")
    if energy_images == 0:
        return None
    try:
        return EnergySample(backbone, size=energy_images)
    except InputError:
        return None


def counted(sample: EnergySample | None) -> ExitEnergy | None:
    """The energy of a sample; None where it cannot be counted."""
    try:
        return None if sample is None else sample.count()
    except InputError:
        return None


def stacked(images: list[Any]) -> np.ndarray:
    """`[R, C, H, W]`; bytes become floats where some images are floats."""
    if any(image.dtype != np.uint8 for image in images):
        images = [image if image.dtype != np.uint8 else image.astype(np.float32) / 255 for image in images]
    return np.stack(images)
