"""All timesteps of a spiking layer in one pass, forwards and backwards.

    spikes = fire_over_time(neuron, current, timesteps=4)             # [T·B, …]

A layer is memory-bound: step by step, every operation reads and writes a whole layer. Here a chunk of positions goes
through all timesteps in the cache, and only spikes are written. The gradient recomputes the potentials from the
currents. Potentials are float32 or wider.

Letters: T timesteps, B rows, n positions of a chunk.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from backbones.networks.neurons.neuron import IF, LIF, Dynamics

CHUNK = 1 << 14
"""Positions computed together on a CPU: T + 5 arrays of them fit its second-level cache."""


def fire_over_time(
    neuron: LIF, current: Tensor, timesteps: int, *, static: bool = False, compiled: bool = False
) -> Tensor:
    """Spikes of all timesteps, from the initial potential.

    Args:
        neuron: the layer's neuron.
        current: `[T·B, …]`.
        timesteps: T.
        static: `current` is `[B, …]`, constant in time; it is not copied.
        compiled: run the pass by `torch.compile`.

    Returns:
        spikes: `[T·B, …]` 0 or 1, in the current's dtype and memory format.
    """
    if type(neuron) not in (LIF, IF) or neuron.v_rest != 0 or not current.is_floating_point():
        return _step_by_step(neuron, current, timesteps, static)
    return _Pass.apply(current, timesteps, static, neuron.dynamics(), compiled)


def _step_by_step(neuron: LIF, current: Tensor, timesteps: int, static: bool) -> Tensor:
    """The spikes of any neuron, by its own methods."""
    currents = [current] * timesteps if static else current.view(timesteps, -1, *current.shape[1:]).unbind()
    v: Tensor | None = None
    spikes = []
    for t, now in enumerate(currents, 1):
        v = neuron.charge(now, v)
        spikes.append(neuron.fire(v))
        if t < timesteps:
            v = neuron.reset(v, spikes[-1])
    return spikes[0] if timesteps == 1 else torch.cat(spikes)


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, current: Tensor, timesteps: int, static: bool, dynamics: Dynamics, compiled: bool) -> Tensor:
        current = _dense(current)
        ctx.save_for_backward(current)
        ctx.settings = timesteps, static, dynamics, compiled
        rows = len(current) * (timesteps if static else 1)
        layout = torch.channels_last if _channels_last(current) else torch.contiguous_format
        spikes = torch.empty(
            (rows, *current.shape[1:]), dtype=current.dtype, device=current.device, memory_format=layout
        )
        x, s = _lines(current, 1 if static else timesteps), _lines(spikes, timesteps)
        run = _compiled(_charge_and_fire) if compiled else _charge_and_fire
        for place in _chunks(x, compiled):
            run(x[:, place], s[:, place], dynamics)
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (current,) = ctx.saved_tensors
        timesteps, static, dynamics, compiled = ctx.settings
        grad = grad.contiguous(
            memory_format=torch.channels_last if _channels_last(current) else torch.contiguous_format
        )
        out = torch.empty_like(current)
        steps = 1 if static else timesteps
        x, g, o = _lines(current, steps), _lines(grad, timesteps), _lines(out, steps)
        run = _compiled(_gradient) if compiled else _gradient
        for place in _chunks(x, compiled):
            run(x[:, place], g[:, place], o[:, place], dynamics)
        return out, None, None, None, None


def _charge_and_fire(x: Tensor, spikes: Tensor, d: Dynamics) -> None:
    """`[T or 1, n]` currents to `[T, n]` spikes, in place."""
    last = len(spikes) - 1
    if last == 0 and d.v_init == 0:  # no leak, no reset
        (torch.ge if d.inclusive else torch.gt)(x[0], d.v_threshold, out=spikes[0])
        return
    v = _initial(x, d)
    for t in range(last + 1):
        v = _charge(x[t if len(x) > 1 else 0], v, d)
        (torch.ge if d.inclusive else torch.gt)(v, d.v_threshold, out=spikes[t])
        if t < last:
            v = _reset(v, spikes[t], d)


def _gradient(x: Tensor, grad: Tensor, out: Tensor, d: Dynamics) -> None:
    """`[T, n]` gradients of spikes to `[T or 1, n]` gradients of currents, in place.

    With potential u before the reset and v after it, spikes s = Θ(u - θ), surrogate h(u - θ), and a bar for
    the gradient of each, from the last timestep to the first:

        ū = v̄·(1 - s) + (s̄ - v̄·u)·h        hard reset; without v̄·u where the reset is detached
        ū = v̄ + (s̄ - θ·v̄)·h                soft reset; without θ·v̄ likewise
        x̄ = ū,  v̄ of the timestep before = decay·ū
    """
    T = len(grad)
    if T == 1 and d.v_init == 0:
        torch.mul(d.derivative(x[0].to(_inner(x.dtype)) - d.v_threshold), grad[0], out=out[0])
        return
    potentials, fired = [], []
    v = _initial(x, d)
    for t in range(T):
        u = _charge(x[t if len(x) > 1 else 0], v, d)
        s = ((u >= d.v_threshold) if d.inclusive else (u > d.v_threshold)).to(u.dtype)
        potentials.append(u)
        fired.append(s)
        if t < T - 1:
            v = _reset(u.clone(), s, d)
    back: Tensor | None = None
    for t in reversed(range(T)):
        u, s = potentials[t], fired[t]
        slope = d.derivative(u - d.v_threshold)
        if back is None:
            back = slope.mul_(grad[t])
        else:
            back.mul_(d.decay)
            towards = grad[t] if d.detach_reset else grad[t] - back * (d.v_threshold if d.soft else u)
            if not d.soft:
                back.mul_(s.neg_().add_(1))
            back.addcmul_(towards.to(back.dtype), slope)
        if len(out) > 1 or T == 1:
            out[t].copy_(back)
        elif t == T - 1:
            total = back.clone()
        else:
            total.add_(back)
    if len(out) < T:
        out[0].copy_(total)


def _initial(x: Tensor, d: Dynamics) -> Tensor | None:
    if d.v_init == 0:
        return None
    return torch.full_like(x[0], d.v_init, dtype=_inner(x.dtype))


def _charge(x: Tensor, v: Tensor | None, d: Dynamics) -> Tensor:
    """Leak and integrate; `v` is used up."""
    if v is None:
        return x.to(_inner(x.dtype), copy=True)
    return (v if d.decay == 1 else v.mul_(d.decay)).add_(x)


def _reset(v: Tensor, spikes: Tensor, d: Dynamics) -> Tensor:
    """The potential after the spikes; `v` is used up."""
    if d.soft:
        return v.sub_(spikes, alpha=d.v_threshold)
    return v.addcmul_(v, spikes.to(v.dtype), value=-1)


def _inner(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _channels_last(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)


def _dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_contiguous() or _channels_last(tensor) else tensor.contiguous()


def _lines(tensor: Tensor, count: int) -> Tensor:
    """`[count, …]` in the order of memory, without a copy."""
    return (tensor.permute(0, 2, 3, 1) if _channels_last(tensor) else tensor).view(count, -1)


def _chunks(x: Tensor, compiled: bool) -> Iterator[slice]:
    size = x.shape[1] if compiled or x.device.type != "cpu" else CHUNK
    for begin in range(0, x.shape[1], max(1, size)):
        yield slice(begin, begin + size)


@cache
def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    return torch.compile(function)
