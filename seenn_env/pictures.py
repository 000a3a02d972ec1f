"""One still picture of frames over time, for people to look at.

Letters: M samples, T frames, C channels, H × W pixels.
"""

import numpy as np

from backbones import InputError


def has_frames(images: np.ndarray) -> bool:
    """Whether samples are frames over time, `[M, T, C, H, W]`, and not still images."""
    return images.ndim == 5


def still(images: np.ndarray) -> np.ndarray:
    """`[M, C, H, W]` uint8: the mean over time of `[M, T, C, H, W]`, each sample's brightest place at 255.

    Still images stay as they are.
    """
    if not has_frames(images):
        return np.asarray(images)
    M, _, *shape = images.shape
    pictures = np.empty((M, *shape), np.uint8)
    for row in range(M):  # frames may be more than memory holds
        mean = images[row].mean(0, dtype=np.float32).clip(0)
        pictures[row] = np.rint(mean * (255 / max(float(mean.max()), 1e-6)))
    return pictures


def refuse_frames(observation: object, frames: bool) -> None:
    """Refuse to show frames over time before the first timestep.

    Raises:
        InputError: if `frames`.
    """
    if frames:
        raise InputError(
            f"Expected still images for the observation {observation!r}, got frames over time, whose picture would "
            "show what is yet to come: use 'features', or an embedding of your own."
        )
