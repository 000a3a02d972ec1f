"""3×3 convolutions with fewer multiplications: Winograd's F(4×4, 3×3).

    y = A·[(G·w·Gᵀ) ⊙ (Bᵀ·x·B)]·Aᵀ         of every 6×6 piece x of the image, 4×4 outputs y

(Lavin & Gray, 2016, section 4, with the points 0, ±1, ±2, ∞.) 36 products make 16 outputs of 9 taps each, a quarter
of the direct convolution's; summed over channels they are 36 matrix products. Bᵀ has small integers, so spikes are
transformed without rounding, and G·w·Gᵀ is computed once in float64: only the products' sum and A round.

Letters: B rows, R rows that are computed together, C channels before, K after, H × W pixels in tiles of 4.
"""

import math
import threading

import torch
from torch import Tensor, nn

_B = [(4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0)]
_B += [(0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1)]
_A = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))
_G = ((6, 0, 0), (-4, -4, -4), (-4, 4, -4), (1, 2, 4), (1, -2, 4), (0, 0, 24))
"""Times 24."""

TOGETHER = (64, 32)
"""R: 64 for exactly 64 rows, else 32 at a time with padding, so that all rows of a batch are computed alike."""
FEWEST_ROWS, FEWEST_CHANNELS, LARGEST_SIDE = 16, 128, 8
"""Sizes where it is faster than the direct convolution, measured on a processor with AVX2."""

_buffers = threading.local()


class WinogradConv2d(nn.Conv2d):
    """A 3×3 convolution of stride 1 and padding 1, on images of one size (H and W are multiples of 4); for inference on
    a CPU in float32. It has the weights of `conv`. Few rows are computed directly.
    """

    taps: Tensor
    rows_into: Tensor
    rows_out_of: Tensor
    columns_into: Tensor
    columns_out_of: Tensor

    def __init__(self, conv: nn.Conv2d, height: int, width: int) -> None:
        K, C = conv.weight.shape[:2]
        super().__init__(C, K, 3, padding=1, bias=conv.bias is not None, device="meta")
        self.weight, self.bias, self.size = conv.weight, conv.bias, (height, width)
        taps = torch.einsum(
            "qp,pck->qck", taps_matrix(), conv.weight.detach().cpu().double().permute(2, 3, 1, 0).flatten(0, 1)
        )
        for name, constant in {"taps": taps, **transforms(height, width)}.items():
            self.register_buffer(name, constant.to(conv.weight).contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` to `[B, K, H, W]`, in channels_last."""
        B = len(x)
        if B < FEWEST_ROWS or x.device.type != "cpu" or x.dtype != torch.float32 or x.shape[2:] != self.size:
            return super().forward(x)
        y = torch.empty(B, self.out_channels, *self.size, memory_format=torch.channels_last)
        images, outputs = x.permute(2, 3, 0, 1), y.permute(2, 3, 0, 1)
        many, few = TOGETHER
        R = many if many == B else few
        for begin in range(0, B, R):
            self._together(images[:, :, begin : begin + R], outputs[:, :, begin : begin + R], R)
        return y

    def _together(self, x: Tensor, y: Tensor, R: int) -> None:
        """`[H, W, ≤R, C]` to `[H, W, ≤R, K]`, in two alternating buffers."""
        C, K, (H, W) = self.in_channels, self.out_channels, self.size
        h, w = H // 4, W // 4
        one, two = _memory(36 * h * w * R * max(C, K))
        image = _shaped(one, H, W, R, C)
        image[:, :, : x.shape[2]].copy_(x)
        half = torch.mm(self.rows_into, image.view(H, -1), out=_shaped(two, 6 * h, W * R * C))
        pieces = _shaped(one, 6 * h, 6 * w, R * C)
        torch.bmm(self.columns_into.expand(6 * h, -1, -1), half.view(6 * h, W, R * C), out=pieces)
        products = _shaped(two, h, 36, w * R, K)
        for piece, product in zip(pieces.view(h, 36, w * R, C), products, strict=True):
            torch.bmm(piece, self.taps, out=product)
        half = _shaped(one, 6 * h, W, R * K)
        torch.bmm(self.columns_out_of.expand(6 * h, -1, -1), products.view(6 * h, 6 * w, R * K), out=half)
        torch.mm(self.rows_out_of, half.view(6 * h, -1), out=_shaped(two, H, W * R * K))
        result = _shaped(two, H, W, R, K)[:, :, : x.shape[2]]
        if self.bias is None:
            y.copy_(result)
        else:
            torch.add(result, self.bias, out=y)


@torch.no_grad()
def use_winograd(body: nn.Module, sizes: dict[nn.Conv2d, tuple[int, int]]) -> int:
    """Replace the convolutions for which it is faster, by the (H, W) of their inputs, and return their number."""
    count = 0
    for parent in list(body.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and child in sizes and is_faster(child, *sizes[child]):
                setattr(parent, name, WinogradConv2d(child, *sizes[child]))
                count += 1
    return count


def is_faster(conv: nn.Conv2d, height: int, width: int) -> bool:
    """Whether Winograd's convolution is faster, on H × W images."""
    plain = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.padding_mode)
    sides_fit = height % 4 == width % 4 == 0 and max(height, width) <= LARGEST_SIDE
    channels_fit = min(conv.in_channels, conv.out_channels) >= FEWEST_CHANNELS
    return (
        type(conv) is nn.Conv2d and plain == ((3, 3), (1, 1), (1, 1), (1, 1), 1, "zeros") and sides_fit and channels_fit
    )


def transforms(height: int, width: int) -> dict[str, Tensor]:
    """B and A of all tiles of an image, float64.

    rows_into `[6·H/4, H]`, columns_into `[6·W/4, W]`, rows_out_of `[H, 6·H/4]`, columns_out_of `[W, 6·W/4]`.
    """
    matrices = {}
    for name, side in (("rows", height), ("columns", width)):
        count = side // 4
        into = torch.zeros(count, 6, side + 2, dtype=torch.float64)
        out_of = torch.zeros(side, count, 6, dtype=torch.float64)
        for tile in range(count):
            into[tile, :, 4 * tile : 4 * tile + 6] = torch.tensor(_B)
            out_of[4 * tile : 4 * tile + 4, tile] = torch.tensor(_A)
        into = into[:, :, 1:-1]  # the rim is zero
        if name == "columns":  # multiplied at once
            into, out_of = into.transpose(0, 1), out_of.transpose(1, 2)
        matrices[f"{name}_into"] = into.reshape(6 * count, side)
        matrices[f"{name}_out_of"] = out_of.reshape(side, 6 * count)
    return matrices


def taps_matrix() -> Tensor:
    """`[36, 9]` float64: G·w·Gᵀ of the nine weights, row by row."""
    G = torch.tensor(_G, dtype=torch.float64) / 24
    return torch.einsum("ia,jb->ijab", G, G).reshape(36, 9)


def _memory(count: int) -> tuple[Tensor, Tensor]:
    """Two buffers of this thread, for at least that many numbers each."""
    if getattr(_buffers, "count", 0) < count:
        _buffers.count, _buffers.pair = count, (torch.zeros(count), torch.zeros(count))
    return _buffers.pair


def _shaped(memory: Tensor, *shape: int) -> Tensor:
    return memory[: math.prod(shape)].view(shape)
