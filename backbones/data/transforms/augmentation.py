"""Random crops, rolls, flips, AutoAugment and Cutout: pure functions of (seed, epoch, key), so that runs can resume."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.argument_checks import Natural, Positive, check_fields, check_kinds
from backbones.data.samples import Samples
from backbones.data.transforms.auto_augment import UNIFORMS, auto_augment, check_pictures
from backbones.keyed_random import hash_uniform


@dataclass(frozen=True)
class Augmentation:
    """Changes of an image in its repeats, for more episodes from the same images."""

    crop: Natural = 0
    """Pixels of padding for random crops."""
    flip: bool = False
    """Mirror half of the repeats."""
    cutout: Natural = 0
    """Side of Cutout's square."""
    seed: Natural = 0

    def __post_init__(self) -> None:
        check_fields(self)

    @check_kinds
    def repeats(self, samples: Samples, count: Positive) -> np.ndarray:
        """`[N·count, …]` images, each followed by its repeats; the first of each is the image itself.

        Padding and square hold the mean of each channel of pictures, and 0 in frames.
        """
        images = torch.from_numpy(np.ascontiguousarray(samples.images))
        keys = torch.from_numpy(samples.index.astype(np.int64))
        changes: dict[str, Any] = {"crop": self.crop, "flip": self.flip, "cutout": self.cutout}
        if images.dim() == 4 and images.dtype == torch.uint8:
            changes["fill"] = images.float().mean((0, 2, 3)).round().int().tolist()
        repeats = [augment(images, keys, seed=self.seed, epoch=k, **changes) for k in range(1, count)]
        return torch.stack([images, *repeats], 1).flatten(0, 1).numpy()


def augment(
    images: Tensor,
    keys: Tensor,
    *,
    seed: int,
    epoch: int,
    crop: int = 0,
    flip: bool = False,
    cutout: int = 0,
    roll: int = 0,
    auto: bool = False,
    fill: Sequence[int] | None = None,
) -> Tensor:
    """`[B, C, H, W]` to the same shape (and channels_last), in the order crop, roll, flip, AutoAugment, Cutout.

    Args:
        images: `[B, C, H, W]`; or frames `[B, T, C, H, W]`, of which all of a row change in the same way.
        keys: `[B]` int64 names of the images.
        seed: of the run.
        epoch: number of the pass over the images.
        crop: pixels padded on each side before a crop to the old size.
        flip: mirror half of the images, left to right.
        cutout: side of a filled square with its centre anywhere in the image (DeVries & Taylor, 2017).
        roll: most pixels of a cyclic shift in each direction (for event frames: Li et al., NDA, ECCV 2022).
        auto: AutoAugment's policy for CIFAR-10.
        fill: `[C]` value of padding and square (default: 0).

    Raises:
        InputError: for AutoAugment of anything but uint8 images of 1 or 3 channels.
    """
    shape = images.shape
    if auto:
        check_pictures(images, "change by AutoAugment")
    if images.dim() == 5:
        fill = None if fill is None else [*fill] * shape[1]
        images = images.flatten(1, 2)
    B, C, H, W = images.shape
    uniform = hash_uniform(seed, keys, torch.full_like(keys, epoch), 7 + UNIFORMS)
    paint = torch.zeros(C) if fill is None else torch.tensor(fill)
    paint = paint.to(images.device, images.dtype)

    rows = torch.arange(H, device=images.device).expand(B, H)
    columns = torch.arange(W, device=images.device).expand(B, W)
    if flip:
        columns = torch.where(uniform[:, :1] < 0.5, columns.flip(1), columns)
    if roll:
        rows = (rows + (uniform[:, 5:6] * (2 * roll + 1)).long() - roll) % H
        columns = (columns + (uniform[:, 6:7] * (2 * roll + 1)).long() - roll) % W
    if crop:
        images = F.pad(images, [crop] * 4)
        for side in (images[:, :, :crop], images[:, :, -crop:], images[:, :, :, :crop], images[:, :, :, -crop:]):
            side.copy_(paint.view(-1, 1, 1).expand_as(side))
        rows = rows + (uniform[:, 1:2] * (2 * crop + 1)).long()
        columns = columns + (uniform[:, 2:3] * (2 * crop + 1)).long()
    batch = torch.arange(B, device=images.device)[:, None, None]
    out = images[batch, :, rows[:, :, None], columns[:, None, :]]  # [B, H, W, C]
    if auto:
        out = auto_augment(out.permute(0, 3, 1, 2), uniform[:, 7:], paint.tolist()).permute(0, 2, 3, 1)
    if cutout:
        hit = _covered(uniform[:, 3:4], H, cutout)[:, :, None] & _covered(uniform[:, 4:5], W, cutout)[:, None, :]
        out = torch.where(hit[..., None], paint, out)
    out = out.permute(0, 3, 1, 2)
    return out.unflatten(1, shape[1:3]) if len(shape) == 5 else out


def _covered(uniform: Tensor, size: int, cutout: int) -> Tensor:
    """`[B, size]` bool: places in the square."""
    first = (uniform * size).long() - cutout // 2
    place = torch.arange(size, device=uniform.device)
    return (place >= first) & (place < first + cutout)
