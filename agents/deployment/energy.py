"""Energy of live answers: picojoules of a sample of the images, each up to its exit.

    sample = EnergySample(backbone, size=256)
    for answer in answers(images, backbone, policy, sample=sample): …
    energy = sample.count()                           # after the answers, on the network's plain form
    energy.mean_pj, energy.images, energy.seconds

The inference form bypasses its neurons' modules and cannot be counted; the plain form has the same weights, and the
same answers up to rounding.

Letters: M images of the sample, R of a batch.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from backbones import Backbone, InputError
from backbones.argument_checks import Natural, Positive, check_kinds
from backbones.energy import EnergyModel, Metered
from backbones.networks import InferenceNetwork
from backbones.one_line import one_line

_BATCH = 64


@dataclass(frozen=True)
class ExitEnergy:
    """Energy of a uniform random sample of M images with an answer."""

    places: np.ndarray
    """`[M]` int64 places of the images in the inputs."""
    energy_pj: np.ndarray
    """`[M]` float64 of the network's operations up to and including the exit, without the policy's own."""
    seconds: float
    """Duration of the count, after the answers."""

    __repr__ = one_line

    @property
    def images(self) -> int:
        """M."""
        return len(self.places)

    @property
    def mean_pj(self) -> float:
        """Mean of an image; NaN for none."""
        return float(self.energy_pj.mean()) if len(self.energy_pj) else float("nan")


class EnergySample:
    """Reservoir sampling: a uniform sample of at most M = `size` images of a stream of any length.

    Of an `InferenceNetwork`, the plain form is counted. An `InputError` for a backbone whose operations cannot be
    counted.
    """

    @check_kinds
    def __init__(self, backbone: Backbone, *, size: Positive = 256, seed: Natural = 0) -> None:
        self.metered = Metered(backbone.plain if isinstance(backbone, InferenceNetwork) else backbone)
        self.size = size
        self._rng = np.random.default_rng(seed)
        self._kept: list[tuple[int, Any, int]] = []
        """Place, image and key of each."""
        self._slot_of: dict[int, int] = {}
        self._exits: dict[int, int] = {}
        self._seen = 0

    def offer(self, place: int, image: np.ndarray, key: int) -> None:
        """Register an image that enters the network."""
        self._seen += 1
        if len(self._kept) < self.size:
            slot = len(self._kept)
            self._kept.append((place, image.copy(), key))
        else:
            slot = int(self._rng.integers(self._seen))
            if slot >= self.size:
                return
            replaced = self._kept[slot][0]
            del self._slot_of[replaced]
            self._exits.pop(replaced, None)
            self._kept[slot] = (place, image.copy(), key)
        self._slot_of[place] = slot

    def exit(self, place: int, timesteps: int) -> None:
        """Register the exit of an image."""
        if place in self._slot_of:
            self._exits[place] = timesteps

    def count(self) -> ExitEnergy:
        """Run the images of the sample again up to their exits, and count their operations; an `InputError` for a
        backbone without a layer that runs as a module.
        """
        begin = time.perf_counter()
        kept = sorted((entry for entry in self._kept if entry[0] in self._exits), key=lambda entry: entry[0])
        exits = np.array([self._exits[place] for place, _, _ in kept], np.int64)
        energy = np.zeros(len(kept))
        for timesteps in np.unique(exits):
            same = np.flatnonzero(exits == timesteps)
            for first in range(0, len(same), _BATCH):
                rows = same[first : first + _BATCH]
                energy[rows] = self._energy([kept[row] for row in rows], int(timesteps))
        places = np.array([place for place, _, _ in kept], np.int64)
        return ExitEnergy(places, energy, time.perf_counter() - begin)

    def _energy(self, entries: list[tuple[int, Any, int]], timesteps: int) -> np.ndarray:
        """`[R]` of images with the same exit."""
        images = stacked([image for _, image, _ in entries])
        state = self.metered.start(torch.from_numpy(images), torch.tensor([key for _, _, key in entries]))
        for _ in range(timesteps):
            _, state = self.metered.step(state)
        return EnergyModel().energy_pj(state.operations).cpu().numpy()


@check_kinds
def sample_of(backbone: Backbone, energy_images: Natural) -> EnergySample | None:
    """A sample of so many images; None for 0, or a backbone whose operations cannot be counted."""
    if energy_images == 0:
        return None
    try:
        return EnergySample(backbone, size=energy_images)
    except InputError:
        return None


def counted(sample: EnergySample | None) -> ExitEnergy | None:
    """The energy of a sample; None without one, or where operations cannot be counted."""
    try:
        return None if sample is None else sample.count()
    except InputError:
        return None


def stacked(images: list[Any]) -> np.ndarray:
    """`[R, C, H, W]`; uint8 images become floats where some images are floats."""
    if any(image.dtype != np.uint8 for image in images):
        images = [image if image.dtype != np.uint8 else image.astype(np.float32) / 255 for image in images]
    return np.stack(images)
