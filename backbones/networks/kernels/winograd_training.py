"""Winograd's convolutions for training on a CPU: output and both gradients with a quarter of the products.

    with faster_convolutions(network):
        network(images).sum().backward()

With V = Bᵀ·x·B and U = G·w·Gᵀ of `winograd`, summed over channels as 36 matrix products M = V·U, and M̄ = A·ȳ·Aᵀ
of the gradient of the output, the gradients are products of the same kind:

    V̄ = M̄·Uᵀ,   x̄ = B·V̄·Bᵀ      Ū = Vᵀ·M̄,   w̄ = Gᵀ·Ū·G

Letters: N rows, R rows at a time, C channels before, K after, H and W of the image, in h × w tiles of 4.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from backbones.hooks import forwards_replaced
from backbones.networks.kernels.winograd import is_faster, taps_matrix, transforms

TOGETHER = 128
"""R: the buffers of so many rows fit the third-level cache."""


@contextmanager
def faster_convolutions(network: nn.Module) -> Iterator[None]:
    """Compute convolutions this way inside the block, where it is faster.

    On a CPU, in float32 or float64 without autocast, in training mode.
    """
    convolutions = [m for m in network.modules() if type(m) is nn.Conv2d and m.bias is None]
    with forwards_replaced(convolutions, _forward):
        yield


def _forward(conv: nn.Conv2d, plain: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        wide = x.dtype in (torch.float32, torch.float64) and not torch.is_autocast_enabled(x.device.type)
        if conv.training and x.device.type == "cpu" and wide and is_faster(conv, *x.shape[2:]):
            return _Convolution.apply(x, conv.weight)
        return plain(x)

    return forward


@cache
def _constants(height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Rows and columns into, rows and columns out of, taps."""
    matrices = transforms(height, width)
    names = ("rows_into", "columns_into", "rows_out_of", "columns_out_of")
    return (*(matrices[name].to(dtype).contiguous() for name in names), taps_matrix().to(dtype))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        (N, C, H, W), K = x.shape, len(weight)
        rows_into, columns_into, rows_out_of, columns_out_of, G = _constants(H, W, x.dtype)
        U = (G @ weight.permute(2, 3, 1, 0).reshape(9, C * K)).view(36, C, K)
        y = torch.empty((N, K, H, W), dtype=x.dtype, memory_format=torch.channels_last)
        kept = []
        for part, out in zip(x.split(TOGETHER), y.split(TOGETHER), strict=True):
            V = _spread(part, rows_into, columns_into)
            M = V.new_empty(*V.shape[:3], K)
            for v, m in zip(V, M, strict=True):
                torch.bmm(v, U, out=m)
            _gather(M, rows_out_of, columns_out_of, out)
            kept.append(V)
        ctx.save_for_backward(U, *kept)
        ctx.shape = x.shape
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor]:
        U, *kept = ctx.saved_tensors
        (N, C, H, W), K = ctx.shape, U.shape[2]
        rows_into, columns_into, rows_out_of, columns_out_of, G = _constants(H, W, U.dtype)
        dU = torch.zeros_like(U)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = torch.empty((N, C, H, W), dtype=U.dtype, memory_format=torch.channels_last)
        for index, (V, part) in enumerate(zip(kept, grad.split(TOGETHER), strict=True)):
            dM = _spread(part, rows_out_of.t(), columns_out_of.t())
            for v, m in zip(V, dM, strict=True):
                torch.baddbmm(dU, v.transpose(1, 2), m, out=dU)
            if dx is not None:
                dV = torch.empty_like(V)
                for m, v in zip(dM, dV, strict=True):
                    torch.bmm(m, U.transpose(1, 2), out=v)
                _gather(dV, rows_into.t(), columns_into.t(), dx[index * TOGETHER : (index + 1) * TOGETHER])
        weight = (G.t() @ dU.view(36, C * K)).view(3, 3, C, K).permute(3, 2, 0, 1)
        return dx, weight.contiguous()


def _spread(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`[R, C, H, W]` to `[h, 36, w·R, C]`: rows·x·columnsᵀ of every tile."""
    R, C, H, W = x.shape
    h, w = H // 4, W // 4
    image = x.permute(2, 3, 0, 1).contiguous()  # [H, W, R, C]
    half = torch.mm(rows, image.view(H, W * R * C)).view(6 * h, W, R * C)
    return torch.bmm(columns.expand(6 * h, -1, -1), half).view(h, 36, w * R, C)


def _gather(pieces: Tensor, rows: Tensor, columns: Tensor, out: Tensor) -> None:
    """`[h, 36, w·R, K]` into `out`, `[R, K, H, W]`: rows·pieces·columnsᵀ, summed over the tiles."""
    R, K, H, W = out.shape
    h, w = H // 4, W // 4
    half = torch.bmm(columns.expand(6 * h, -1, -1), pieces.view(6 * h, 6 * w, R * K))
    out.permute(2, 3, 0, 1).copy_(torch.mm(rows, half.view(6 * h, W * R * K)).view(H, W, R, K))
