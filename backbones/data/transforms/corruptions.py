"""Corrupted images, for traces under shift.

    shifted = corrupt(splits.test, "gaussian-noise", severity=3)

Kinds and strengths are five of CIFAR-10-C's (Hendrycks & Dietterich, ICLR 2019). Letters: N images, C channels.
"""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from backbones.argument_checks import AtLeast, AtMost, Natural, check_kinds
from backbones.data.samples import Samples
from backbones.data.transforms.auto_augment import check_pictures
from backbones.errors import unknown_name

_STRENGTHS: dict[str, tuple[float, ...]] = {
    "gaussian-noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "gaussian-blur": (0.4, 0.6, 0.7, 0.8, 1.0),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "jpeg": (80, 65, 58, 50, 40),
}
CORRUPTIONS = tuple(_STRENGTHS)
"""Names; their strengths are standard deviation, σ in pixels, factor, summand and JPEG quality."""
_ROWS = 1000


@check_kinds
def corrupt(
    samples: Samples, corruption: str, severity: Annotated[int, AtLeast(1), AtMost(5)], *, seed: Natural = 0
) -> Samples:
    """The samples with corrupted images, a pure function of each image, its index and the seed.

    Args:
        samples: images `[N, C, H, W]` uint8, with 1 or 3 channels.
        corruption: one of `CORRUPTIONS`.
        severity: from 1 to 5.
        seed: of the noise.
    """
    if corruption not in _STRENGTHS:
        raise unknown_name("corruption", corruption, _STRENGTHS)
    images = samples.images
    check_pictures(images, "corrupt")
    strength, change = _STRENGTHS[corruption][severity - 1], _CHANGES[corruption]
    out = np.empty(images.shape, np.uint8)
    for begin in range(0, len(images), _ROWS):
        rows = slice(begin, begin + _ROWS)
        keys = [(seed, int(index)) for index in samples.index[rows]]
        out[rows] = change(torch.from_numpy(np.ascontiguousarray(images[rows])), strength, keys).numpy()
    return replace(samples, images=out, dataset=f"{samples.dataset}+{corruption}-{severity}")


def _noise(images: Tensor, deviation: float, keys: list[tuple[int, int]]) -> Tensor:
    noise = np.stack([np.random.default_rng(key).standard_normal(images.shape[1:], np.float32) for key in keys])
    return _bytes(images / 255 + deviation * torch.from_numpy(noise))


def _contrast(images: Tensor, factor: float) -> Tensor:
    values = images / 255
    mean = values.mean((2, 3), keepdim=True)
    return _bytes((values - mean) * factor + mean)


def _brightness(images: Tensor, shift: float) -> Tensor:
    """A shift of HSV's value: all channels in proportion."""
    values = images / 255
    top = values.amax(1, keepdim=True)
    return _bytes(torch.where(top > 0, values * ((top + shift).clamp(max=1) / top.clamp(min=1e-6)), top + shift))


def _jpeg(image: np.ndarray, quality: int) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    decoded = np.array(Image.open(file))
    return torch.from_numpy(decoded[None] if len(image) == 1 else decoded.transpose(2, 0, 1).copy())


def _bytes(values: Tensor) -> Tensor:
    return (values.clamp(0, 1) * 255).round().to(torch.uint8)


_CHANGES: dict[str, Callable[[Tensor, float, list[tuple[int, int]]], Tensor]] = {
    "gaussian-noise": _noise,
    "gaussian-blur": lambda images, sigma, _: F.gaussian_blur(images, [2 * round(4 * sigma) + 1] * 2, [sigma, sigma]),
    "contrast": lambda images, factor, _: _contrast(images, factor),
    "brightness": lambda images, shift, _: _brightness(images, shift),
    "jpeg": lambda images, quality, _: torch.stack([_jpeg(image.numpy(), int(quality)) for image in images]),
}
