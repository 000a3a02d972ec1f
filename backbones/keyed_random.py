"""Uniform random numbers as a pure integer hash of (seed, key, timestep, position).

Letters: B rows.
"""

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def mix32(x: Tensor) -> Tensor:
    """A 32-bit integer hash, elementwise on int64 tensors that hold values in [0, 2³²).

    The finaliser with constants 0x7feb352d and 0x846ca68b (C. Wellons, "hash-prospector", 2018).
    """
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & _MASK
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & _MASK
    return x ^ (x >> 16)


def hash_uniform(seed: int, keys: Tensor, timestep: Tensor, positions: int) -> Tensor:
    """`[B, positions]` float32 uniforms in [0, 1), multiples of 2⁻²⁴, for a seed, `keys` and `timestep`, `[B]` int64.

    All 64 bits of a key count.
    """
    row = mix32(torch.full_like(keys, seed & _MASK))
    row = mix32(row ^ mix32((keys >> 32) & _MASK) ^ 0x9E3779B9)
    row = mix32((row + (keys & _MASK)) & _MASK)
    row = mix32((row + 0x85EBCA6B * timestep) & _MASK)
    position = mix32((torch.arange(positions, device=keys.device) + 0x5BD1E995) & _MASK)
    bits = mix32((row[:, None] + position) & _MASK)
    return (bits >> 8).to(torch.float32) * 2.0**-24
