"""The group of processes that `torchrun` starts.

with process_group() as group:                # reads torchrun's environment variables; one process without them
    group.average(gradients)
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from backbones.argument_checks import Natural, Positive, check_fields, check_kinds
from backbones.errors import InputError, refusing
from backbones.machine.devices import named_device


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train or record one network."""

    rank: Natural = 0
    """Number of this process, from 0."""
    size: Positive = 1
    """Number of processes."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.rank >= self.size:
            raise InputError(f"Expected a rank below the size, got {self.rank} of {self.size}.")

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.size == 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait for all processes."""
        if not self.alone:
            dist.barrier()

    def mean(self, value: float, device: torch.device) -> float:
        """The mean over the processes."""
        if self.alone:
            return value
        total = torch.tensor(value, dtype=torch.float64, device="cpu" if device.type == "cpu" else device)
        dist.all_reduce(total)
        return float(total) / self.size

    @torch.no_grad()
    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace every tensor by its mean over the processes, in one exchange."""
        tensors = [] if self.alone else list(tensors)
        if not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))


@contextmanager
@check_kinds
def process_group(device: torch.device | None = None, *, long_waits: bool = False) -> Iterator[ProcessGroup]:
    """The processes that `torchrun` started, or this one alone.

    Args:
        device: of the tensors that they exchange (default: the CPU).
        long_waits: wait for one another for up to a week, where PyTorch gives up after minutes.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield ProcessGroup()
        return
    if dist.is_initialized():
        yield ProcessGroup(dist.get_rank(), dist.get_world_size())
        return
    backend = "nccl" if device is not None and device.type == "cuda" else "gloo"
    # A prefix of its own: a second group would find the first one's addresses in torchrun's store.
    store, rank, size = _rendezvous()
    store = dist.PrefixStore(f"group/{next(_groups)}", store)
    timeout = timedelta(days=7) if long_waits else None
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    try:
        yield ProcessGroup(rank, size)
    finally:
        dist.destroy_process_group()


_groups = count()


@cache
def _rendezvous() -> tuple[dist.Store, int, int]:
    """Store, rank and size by `torchrun`'s environment variables."""
    with refusing("Expected WORLD_SIZE, RANK, MASTER_ADDR and MASTER_PORT as torchrun sets them", errors=(ValueError,)):
        store, rank, size = next(rendezvous("env://"))
    return store, rank, size


def own_device(device: str) -> torch.device:
    """The device of this process: "cuda" is its own GPU where there are several processes."""
    local = os.environ.get("LOCAL_RANK")
    return named_device(f"cuda:{local}" if device == "cuda" and local is not None else device)
