"""What ChooseTimestep shows before anything is decided: one entry a row, found by the row's sample.

Letters: N rows, M images, C H W their channels, height and width, F columns.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import gymnasium as gym
import numpy as np

from backbones import InputError, Samples
from backbones.contract import check_images
from seenn_env.environments.sources import Live, Replay, open_samples
from seenn_env.observations.observation import AnyObservation
from seenn_env.pictures import has_frames, refuse_frames
from seenn_env.traces.fields import image_places

EMBEDDING_RANGE = 100.0
"""A user's own embedding must lie within ± this."""

AnyGlance = AnyObservation | np.ndarray | Path


@dataclass(frozen=True)
class Glance:
    """A table and each row's place in it."""

    table: np.ndarray
    """`[M, …]` uint8 images, or float32."""
    places: np.ndarray
    """`[N]` int64."""
    space: gym.spaces.Box
    names: tuple[str, ...]
    """`[F]` of the columns; images have none."""

    def of(self, rows: np.ndarray | int) -> np.ndarray:
        """`[…]` of one row, or `[B, …]` of rows `[B]`: fresh, in the space's dtype."""
        shown = self.table.take(self.places[rows], axis=0)
        if self.space.dtype == np.float32 and self.table.dtype == np.uint8:
            return shown.astype(np.float32) / np.float32(255)
        return shown.astype(self.space.dtype, copy=False)


def is_embedding(observation: AnyGlance) -> TypeGuard[np.ndarray | str | Path]:
    """Whether an observation is an array, or the file of one."""
    return isinstance(observation, np.ndarray | Path) or (isinstance(observation, str) and observation.endswith(".npy"))


def is_static(observation: AnyGlance) -> bool:
    """Whether an observation is there before anything runs: the image, or an embedding."""
    return is_embedding(observation) or observation in ("image", "image_float")


def open_glance(observation: AnyGlance, source: Replay | Live, samples: Samples | str | None, split: str) -> Glance:
    """The glance of that name at the rows of a source.

    Args:
        observation: "image", "image_float", or an embedding `[M, F]` (or a .npy file of it) whose row m belongs
            to image m (see `is_static`).
        source: replayed or live.
        samples: where the images are, unless the source has them.
        split: of the samples, where they are a dataset's name.

    Raises:
        InputError: where images are missing or frames over time, or for an embedding that does not fit.
    """
    assert is_static(observation)
    images: np.ndarray | None
    index: np.ndarray | None
    if isinstance(source, Live):
        images, index = source.samples.images, source.samples.index
    elif samples is not None:
        shown = open_samples(samples, split)
        images, index = shown.images, shown.index
    else:
        images, index = source.traces.images, source.traces.image_index
    if is_embedding(observation):
        return _embedding_glance(observation, source.sample, index)
    shows_frames = isinstance(source, Replay) and samples is None and "frames" in source.traces.info
    refuse_frames(observation, shows_frames or (images is not None and has_frames(images)))
    places = image_places(index, source.sample)
    assert images is not None
    check_images(images)
    if observation == "image" and images.dtype != np.uint8:
        raise InputError(f"Expected uint8 images for the observation 'image', got {images.dtype}: use 'image_float'.")
    images = np.asarray(images)  # mapped files have a slower class of their own
    if observation == "image":
        return Glance(images, places, gym.spaces.Box(0, 255, images.shape[1:], np.uint8), ())
    return Glance(images, places, gym.spaces.Box(0, 1, images.shape[1:], np.float32), ())


def _embedding_glance(given: np.ndarray | str | Path, sample: np.ndarray, index: np.ndarray | None) -> Glance:
    try:
        table = given if isinstance(given, np.ndarray) else np.load(given)
    except (OSError, ValueError) as error:
        raise InputError(f"Expected a .npy file of an embedding, but {given} cannot be read: {error}.") from error
    M = len(sample) if index is None else len(index)
    if table.ndim != 2 or len(table) != M or table.dtype.kind != "f":
        whose = "row of the traces" if index is None else "image"
        raise InputError(
            f"Expected an embedding [{M}, F] of floats, one for each {whose}, got {list(table.shape)} of {table.dtype}."
        )
    if not (np.abs(table) <= EMBEDDING_RANGE).all():
        raise InputError(f"Expected an embedding within ±{EMBEDDING_RANGE:g}, got values beyond or NaN: scale it.")
    places = np.arange(M) if index is None else image_places(index, sample)
    F = table.shape[1]
    space = gym.spaces.Box(-EMBEDDING_RANGE, EMBEDDING_RANGE, (F,), np.float32)
    return Glance(table.astype(np.float32), places, space, tuple(f"embedding_{f}" for f in range(F)))
