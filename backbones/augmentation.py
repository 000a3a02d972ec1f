"""Random crops, flips and Cutout, vectorised and keyed.

What happens to an image is a pure function of (seed, epoch, key), so a resumed run sees the same images.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.encodings import hash_uniform


def augment(
    images: Tensor,
    keys: Tensor,
    *,
    seed: int,
    epoch: int,
    crop: int = 0,
    flip: bool = False,
    cutout: int = 0,
    fill: Sequence[int] | None = None,
) -> Tensor:
    """`[B, C, H, W]` uint8 to the same shape (and channels_last).

    Args:
        images: `[B, C, H, W]` uint8.
        keys: `[B]` int64 names of the images.
        seed: of the run.
        epoch: which pass over the images.
        crop: pixels padded on each side before a crop to the old size.
        flip: mirror half of the images, left to right.
        cutout: side of a square that is painted over; its centre lies anywhere in the image (DeVries &
            Taylor, 2017).
        fill: `[C]` what padding and square hold (default: 0).
    """
    B, C, H, W = images.shape
    uniform = hash_uniform(seed, keys, torch.full_like(keys, epoch), 5)
    paint = torch.zeros(C, dtype=torch.uint8) if fill is None else torch.tensor(fill, dtype=torch.uint8)
    paint = paint.to(images.device)

    rows = torch.arange(H, device=images.device).expand(B, H)
    columns = torch.arange(W, device=images.device).expand(B, W)
    if flip:
        columns = torch.where(uniform[:, :1] < 0.5, columns.flip(1), columns)
    if crop:
        images = F.pad(images, [crop] * 4)
        for side in (images[:, :, :crop], images[:, :, -crop:], images[:, :, :, :crop], images[:, :, :, -crop:]):
            side.copy_(paint.view(-1, 1, 1).expand_as(side))
        rows = rows + (uniform[:, 1:2] * (2 * crop + 1)).long()
        columns = columns + (uniform[:, 2:3] * (2 * crop + 1)).long()
    batch = torch.arange(B, device=images.device)[:, None, None]
    out = images[batch, :, rows[:, :, None], columns[:, None, :]]  # [B, H, W, C]
    if cutout:
        hit = _covered(uniform[:, 3:4], H, cutout)[:, :, None] & _covered(uniform[:, 4:5], W, cutout)[:, None, :]
        out = torch.where(hit[..., None], paint, out)
    return out.permute(0, 3, 1, 2)


def _covered(uniform: Tensor, size: int, cutout: int) -> Tensor:
    """`[B, size]` whether a place lies in the square's extent."""
    first = (uniform * size).long() - cutout // 2
    place = torch.arange(size, device=uniform.device)
    return (place >= first) & (place < first + cutout)
