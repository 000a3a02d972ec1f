"""The constants of a neuron's timestep, for kernels."""

import functools
from typing import NamedTuple

from torch import Tensor


class Dynamics(NamedTuple):
    """What a pass needs to know of a neuron whose potential rests at 0."""

    decay: float
    v_threshold: float
    v_init: float
    soft: bool
    inclusive: bool
    detach_reset: bool
    derivative: "functools.partial[Tensor]"
