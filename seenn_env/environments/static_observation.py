"""Static observations of ChooseTimestep: the image or an embedding, known before the first timestep.

Letters: N rows, M images, C H W their channels, height and width, F columns.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import gymnasium as gym
import numpy as np

from backbones import InputError
from backbones.contract import check_images
from seenn_env.observations.observation import AnyObservation
from seenn_env.traces.fields import frames_refused, image_places

EMBEDDING_RANGE = 100.0
"""A user's own embedding must lie within ± this."""

OneShotObservation = AnyObservation | np.ndarray | Path
"""The columns after timestep 1, or a static observation."""


@dataclass(frozen=True)
class StaticObservation:
    """A table of images or embeddings, and each row's place in it."""

    table: np.ndarray
    """`[M, …]` uint8 images, or float32."""
    places: np.ndarray
    """`[N]` int64."""
    space: gym.spaces.Box
    names: tuple[str, ...]
    """`[F]` of the columns; images have none."""

    def of(self, rows: np.ndarray | int) -> np.ndarray:
        """`[…]` of one row, or `[B, …]` of rows `[B]`: fresh, in the space's dtype."""
        values = self.table.take(self.places[rows], axis=0)
        if self.space.dtype == np.float32 and self.table.dtype == np.uint8:
            return values.astype(np.float32) / np.float32(255)
        return values.astype(self.space.dtype, copy=False)


def is_embedding(observation: OneShotObservation) -> TypeGuard[np.ndarray | str | Path]:
    """Whether an observation is an array, or the file of one."""
    return isinstance(observation, np.ndarray | Path) or (isinstance(observation, str) and observation.endswith(".npy"))


def is_static(observation: OneShotObservation) -> bool:
    """Whether an observation is the image or an embedding."""
    return is_embedding(observation) or observation in ("image", "image_float")


def make_static_observation(
    observation: OneShotObservation,
    sample: np.ndarray,
    images: np.ndarray | None,
    index: np.ndarray | None,
    *,
    of_frames: bool,
) -> StaticObservation:
    """The observation "image" or "image_float", or an embedding `[M, F]` (or a .npy file of it) whose row m is of image
    m.

    `sample` `[N]` is that of the rows, and `index` `[M]` that of the images `[M, …]`, which may be means `of_frames`.
    An `InputError` where images are missing or frames over time, or for an embedding that does not fit.
    """
    if is_embedding(observation):
        return _embedding(observation, sample, index)
    if of_frames or (images is not None and images.ndim == 5):
        raise frames_refused(observation)
    places = image_places(index, sample)
    assert images is not None
    check_images(images)
    if observation == "image" and images.dtype != np.uint8:
        raise InputError(f"Expected uint8 images for the observation 'image', got {images.dtype}: use 'image_float'.")
    images = np.asarray(images)  # mapped files have a slower class of their own
    high, dtype = (255, np.uint8) if observation == "image" else (1, np.float32)
    return StaticObservation(images, places, gym.spaces.Box(0, high, images.shape[1:], dtype), ())


def _embedding(embedding: np.ndarray | str | Path, sample: np.ndarray, index: np.ndarray | None) -> StaticObservation:
    try:
        # Mapped: a header that declares more than the file holds costs no memory.
        table = (
            embedding if isinstance(embedding, np.ndarray) else np.load(embedding, mmap_mode="r", allow_pickle=False)
        )
        if not isinstance(table, np.ndarray):
            raise ValueError("it is an archive")
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise InputError(f"Expected a .npy file of an embedding, but {embedding} cannot be read: {error}.") from error
    M = len(sample) if index is None else len(index)
    if table.ndim != 2 or len(table) != M or not table.size or table.dtype.kind != "f":
        owner = "row of the traces" if index is None else "image"
        raise InputError(
            f"Expected an embedding [{M}, F] of floats, one for each {owner}, got {list(table.shape)} of {table.dtype}."
        )
    if not (np.abs(table) <= EMBEDDING_RANGE).all():
        raise InputError(f"Expected an embedding within ±{EMBEDDING_RANGE:g}, got values beyond or NaN: scale it.")
    places = np.arange(M) if index is None else image_places(index, sample)
    space = gym.spaces.Box(-EMBEDDING_RANGE, EMBEDDING_RANGE, table.shape[1:], np.float32)
    names = tuple(f"embedding_{f}" for f in range(table.shape[1]))
    return StaticObservation(table.astype(np.float32), places, space, names)
