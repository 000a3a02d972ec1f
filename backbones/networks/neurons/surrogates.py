"""Surrogate gradients: a step function with a smooth derivative.

Each function maps the distance to threshold u = v - v_threshold to spikes in {0, 1} of the same shape.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from backbones.errors import unknown_name


def triangle_derivative(u: Tensor, gamma: float = 1.0) -> Tensor:
    """max(0, γ - |u|) / γ² (triangle, also ZIF: Deng et al., TET, ICLR 2022, their released code)."""
    inside = u.abs().neg_().add_(gamma).clamp_min_(0)
    return inside if gamma == 1 else inside.div_(gamma**2)


def dspike_derivative(u: Tensor, b: float = 3.0) -> Tensor:
    """B / (2 tanh(b/2) cosh²(b u)) for |u| ≤ ½, else 0 (Dspike: Li et al., NeurIPS 2021, section 4.1).

    Dspike is (tanh(b u) + tanh(b/2)) / (2 tanh(b/2)), with the threshold moved to u = 0.
    """
    inside = b / (2 * math.tanh(b / 2) * torch.cosh(b * u.clamp(-0.5, 0.5)) ** 2)
    return torch.where(u.abs() <= 0.5, inside, torch.zeros_like(u))


def atan_derivative(u: Tensor, alpha: float = 2.0) -> Tensor:
    """α / (2 (1 + (π α u / 2)²)) (ATan: Fang et al., PLIF, ICCV 2021, equation 12)."""
    return alpha / (2 * (1 + (math.pi / 2 * alpha * u) ** 2))


def sigmoid_derivative(u: Tensor, alpha: float = 4.0) -> Tensor:
    """α σ(α u) (1 - σ(α u)) (sigmoid: Zenke & Vogels, Neural Computation 2021, their SuperSpike's kin)."""
    s = torch.sigmoid(alpha * u)
    return alpha * s * (1 - s)


DERIVATIVES: dict[str, Callable[..., Tensor]] = {
    "triangle": triangle_derivative,
    "dspike": dspike_derivative,
    "atan": atan_derivative,
    "sigmoid": sigmoid_derivative,
}


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, inclusive: bool, derivative: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(u)
        ctx.derivative = derivative
        return (u >= 0 if inclusive else u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (u,) = ctx.saved_tensors
        return grad * ctx.derivative(u), None, None


def derivative_function(name: str, **options: float) -> "functools.partial[Tensor]":
    """The surrogate's derivative with its parameter (γ, b or α); an `InputError` for an unknown name."""
    if name not in DERIVATIVES:
        raise unknown_name("surrogate gradient", name, DERIVATIVES)
    return functools.partial(DERIVATIVES[name], **options)


def spike(u: Tensor, inclusive: bool, derivative: Callable[[Tensor], Tensor]) -> Tensor:
    """1 where u > 0 (or ≥ 0, inclusive), else 0, with the derivative as its gradient."""
    if torch.is_grad_enabled() and u.requires_grad:
        return _Spike.apply(u, inclusive, derivative)
    return (u >= 0 if inclusive else u > 0).to(u.dtype)
