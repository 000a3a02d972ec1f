"""Frames over time, such as those of event cameras, as still images.

Letters: M samples, T frames, C channels, H × W pixels.
"""

import numpy as np


def mean_over_frames(images: np.ndarray) -> np.ndarray:
    """`[M, C, H, W]` uint8: the mean over time of `[M, T, C, H, W]`, the largest value of each sample scaled to 255.

    Still images are returned as they are.
    """
    if images.ndim < 5:
        return np.asarray(images)
    M, _, *shape = images.shape
    means = np.empty((M, *shape), np.uint8)
    for row in range(M):  # frames may be more than memory holds
        mean = images[row].mean(0, dtype=np.float32).clip(0)
        means[row] = np.rint(mean * (255 / max(float(mean.max()), 1e-6)))
    return means
