"""AutoAugment's policy for CIFAR-10 (Cubuk et al., CVPR 2019, arXiv 1805.09501, appendix A.1), keyed.

Each image gets one of 25 sub-policies: two operations, each with a chance and a strength in tenths of its range.
Images with the same operation and strength are computed together, by torchvision's function.

Letters: B images, C channels (1 or 3), H × W pixels.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backbones.errors import InputError, shown

UNIFORMS = 5
"""Random numbers for each image."""

_OPERATIONS = (
    *("shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color", "contrast", "sharpness"),
    *("posterize", "solarize", "autocontrast", "equalize", "invert"),
)
_SIGNED = 9
"""Number of operations, from the first, with a random sign."""

_POLICIES = """
invert 0.1 0 contrast 0.2 6;       rotate 0.7 2 translate_x 0.3 9;      sharpness 0.8 1 sharpness 0.9 3
shear_y 0.5 8 translate_y 0.7 9;   autocontrast 0.5 0 equalize 0.9 0;   shear_y 0.2 7 posterize 0.3 7
color 0.4 3 brightness 0.6 7;      sharpness 0.3 9 brightness 0.7 9;    equalize 0.6 0 equalize 0.5 0
contrast 0.6 7 sharpness 0.6 5;    color 0.7 7 translate_x 0.5 8;       equalize 0.3 0 autocontrast 0.4 0
translate_y 0.4 3 sharpness 0.2 6; brightness 0.9 6 color 0.2 8;        solarize 0.5 2 invert 0.0 0
equalize 0.2 0 autocontrast 0.6 0; equalize 0.2 0 equalize 0.6 0;       color 0.9 9 equalize 0.6 0
autocontrast 0.8 0 solarize 0.2 8; brightness 0.1 3 color 0.7 0;        solarize 0.4 5 autocontrast 0.9 0
translate_y 0.9 9 translate_y 0.7 9; autocontrast 0.9 0 solarize 0.8 3; equalize 0.8 0 invert 0.1 0
translate_y 0.7 9 autocontrast 0.9 0
"""


POLICIES = np.array(
    [_OPERATIONS.index(w) if w in _OPERATIONS else float(w) for w in _POLICIES.replace(";", " ").split()]
).reshape(-1, 2, 3)
"""`[25, 2, 3]` operation, chance and strength (0…9) of each step of each sub-policy."""


def check_pictures(images: Any, use: str) -> None:
    """Raise an `InputError` for images other than `[B, C, H, W]` uint8 of 1 or 3 channels."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.dtype not in (torch.uint8, np.uint8):
        raise InputError(
            f"Expected images [B, C, H, W] of uint8 in 1 or 3 channels to {use}, got {shown(images)}: convert them."
        )


def auto_augment(images: Tensor, uniform: Tensor, fill: list[int]) -> Tensor:
    """`[B, C, H, W]` uint8, of 1 or 3 channels, to the same.

    `uniform` `[B, UNIFORMS]` in [0, 1): for the sub-policy, and the chance and the sign of each step; `fill` `[C]`:
    value of padding.
    """
    chosen = uniform.cpu().numpy()
    steps = POLICIES[(chosen[:, 0] * len(POLICIES)).astype(int)]  # [B, 2, 3]
    images = images.clone()
    for step in range(2):
        operation, chance, strength = steps[:, step].T
        turned = (chosen[:, 2 + 2 * step] < 0.5) & (operation < _SIGNED)
        happens = chosen[:, 1 + 2 * step] < chance
        kinds = np.stack([operation, strength, turned], 1).astype(int)
        for kind in np.unique(kinds[happens], axis=0):
            rows = torch.from_numpy(np.flatnonzero(happens & (kinds == kind).all(1))).to(images.device)
            name = _OPERATIONS[kind[0]]
            images[rows] = apply(name, images[rows], int(kind[1]), -1 if kind[2] else 1, fill)
    return images


def apply(operation: str, images: Tensor, strength: int, sign: int, fill: list[int]) -> Tensor:
    """`[B, C, H, W]` uint8 to the same: one operation at one strength (0…9) and sign."""
    from torchvision.transforms.v2 import functional as v2  # slow to import

    H, W = images.shape[-2:]
    part, colored = sign * strength / 9, 1 + sign * 0.9 * strength / 9

    def moved(x: float = 0, y: float = 0, shear_x: float = 0, shear_y: float = 0) -> Tensor:
        shear = [math.degrees(math.atan(shear_x)), math.degrees(math.atan(shear_y))]
        center = [0, 0] if shear_x or shear_y else None
        return v2.affine(images, 0.0, [int(x), int(y)], 1.0, shear, fill=fill, center=center)

    ways: dict[str, Callable[[], Any]] = {
        "shear_x": lambda: moved(shear_x=0.3 * part),
        "shear_y": lambda: moved(shear_y=0.3 * part),
        "translate_x": lambda: moved(x=part * 150 / 331 * W),
        "translate_y": lambda: moved(y=part * 150 / 331 * H),
        "rotate": lambda: v2.rotate(images, 30 * part, fill=fill),
        "brightness": lambda: v2.adjust_brightness(images, colored),
        "color": lambda: v2.adjust_saturation(images, colored),
        "contrast": lambda: v2.adjust_contrast(images, colored),
        "sharpness": lambda: v2.adjust_sharpness(images, colored),
        "posterize": lambda: v2.posterize(images, 8 - round(4 * strength / 9)),
        "solarize": lambda: v2.solarize(images, 255 * (1 - strength / 9)),
        "autocontrast": lambda: v2.autocontrast(images),
        "equalize": lambda: v2.equalize(images),
        "invert": lambda: v2.invert(images),
    }
    return ways[operation]()
