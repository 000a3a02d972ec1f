"""All timesteps of a spiking layer in one GPU kernel, forwards and backwards (Triton).

A layer's timestep is memory-bound: a kernel reads each current once and writes each spike once, and keeps the membrane
potential in a register. The gradient recomputes potentials from the currents in T (T + 1) / 2 reads, most of them from
the cache. The results equal `neuron_over_time`'s, up to the rounding of a fused multiply-add.

Letters: T timesteps, n positions (rows, channels and space together, in the order of memory).
"""

import triton
import triton.language as tl
from torch import Tensor

from backbones.networks.neurons.neuron import Dynamics
from backbones.networks.neurons.surrogates import triangle_derivative

BLOCK = 1024
MOST_TIMESTEPS = 8
"""The kernels are unrolled over time."""


def covers(dynamics: Dynamics, timesteps: int) -> bool:
    """Whether the kernels can compute the neuron: a triangle surrogate, at most `MOST_TIMESTEPS`."""
    return dynamics.derivative.func is triangle_derivative and timesteps <= MOST_TIMESTEPS


def charge_and_fire(x: Tensor, spikes: Tensor, dynamics: Dynamics) -> None:
    """`[T or 1, n]` currents to `[T, n]` spikes, in place; both contiguous."""
    T, n = spikes.shape
    numbers = (dynamics.decay, dynamics.v_threshold, dynamics.v_init)
    flags = {"STATIC": len(x) < T, "SOFT": dynamics.soft, "INCLUSIVE": dynamics.inclusive}
    _forward[(triton.cdiv(n, BLOCK),)](x, spikes, n, *numbers, T=T, **flags, BLOCK=BLOCK)


def gradient(x: Tensor, grad: Tensor, out: Tensor, dynamics: Dynamics) -> None:
    """`[T, n]` gradients of spikes to `[T or 1, n]` gradients of currents, in place; all contiguous.

    The equations are those of `neuron_over_time`.
    """
    T, n = grad.shape
    gamma = dynamics.derivative.keywords.get("gamma", 1.0)
    numbers = (dynamics.decay, dynamics.v_threshold, dynamics.v_init, gamma, 1 / gamma**2)
    flags = {"STATIC": len(x) < T, "SOFT": dynamics.soft, "INCLUSIVE": dynamics.inclusive}
    flags["DETACH"] = dynamics.detach_reset
    _backward[(triton.cdiv(n, BLOCK),)](x, grad, out, n, *numbers, T=T, **flags, BLOCK=BLOCK)


@triton.jit
def _fired(u, v_threshold, INCLUSIVE: tl.constexpr):  # type: ignore[no-untyped-def]
    if INCLUSIVE:
        return (u >= v_threshold).to(tl.float32)
    else:
        return (u > v_threshold).to(tl.float32)


@triton.jit
def _after(u, s, v_threshold, SOFT: tl.constexpr):  # type: ignore[no-untyped-def]
    if SOFT:
        return u - s * v_threshold
    else:
        return u - u * s


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    x_ptr,
    spikes_ptr,
    n,
    decay,
    v_threshold,
    v_init,
    T: tl.constexpr,
    STATIC: tl.constexpr,
    SOFT: tl.constexpr,
    INCLUSIVE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < n
    read, write = place, place
    v = tl.zeros([BLOCK], tl.float32) + v_init
    for _ in tl.static_range(T):
        u = v * decay + tl.load(x_ptr + read, mask=inside, other=0.0).to(tl.float32)
        s = _fired(u, v_threshold, INCLUSIVE)
        tl.store(spikes_ptr + write, s.to(spikes_ptr.dtype.element_ty), mask=inside)
        v = _after(u, s, v_threshold, SOFT)
        write += n
        if not STATIC:
            read += n


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    x_ptr,
    grad_ptr,
    out_ptr,
    n,
    decay,
    v_threshold,
    v_init,
    gamma,
    scale,
    T: tl.constexpr,
    STATIC: tl.constexpr,
    SOFT: tl.constexpr,
    INCLUSIVE: tl.constexpr,
    DETACH: tl.constexpr,
    BLOCK: tl.constexpr,
):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < n
    back = tl.zeros([BLOCK], tl.float32)  # the gradient of the potential before the reset, of the timestep after
    total = tl.zeros([BLOCK], tl.float32)
    at = place
    for _ in tl.static_range(T - 1):
        at += n
    for k in tl.static_range(T):  # timestep T - 1 - k, from 0
        read = place
        u = tl.zeros([BLOCK], tl.float32)
        s = tl.zeros([BLOCK], tl.float32)
        v = tl.zeros([BLOCK], tl.float32) + v_init
        for _ in tl.static_range(T - k):
            u = v * decay + tl.load(x_ptr + read, mask=inside, other=0.0).to(tl.float32)
            s = _fired(u, v_threshold, INCLUSIVE)
            v = _after(u, s, v_threshold, SOFT)
            if not STATIC:
                read += n
        slope = tl.maximum(gamma - tl.abs(u - v_threshold), 0.0) * scale
        towards = tl.load(grad_ptr + at, mask=inside, other=0.0).to(tl.float32)
        if k == 0:
            back = towards * slope
        else:
            after = back * decay
            if not DETACH:
                if SOFT:
                    towards -= after * v_threshold
                else:
                    towards -= after * u
            if not SOFT:
                after = after * (1.0 - s)
            back = after + towards * slope
        if STATIC:
            total += back
        else:
            tl.store(out_ptr + at, back.to(out_ptr.dtype.element_ty), mask=inside)
        at -= n
    if STATIC:
        tl.store(out_ptr + place, total.to(out_ptr.dtype.element_ty), mask=inside)
