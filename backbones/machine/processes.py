"""Several processes, started by `torchrun`.

with joined() as crew:                # reads torchrun's environment variables; alone without them
    crew.average(gradients)
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
from backbones.errors import InputError
from backbones.machine.devices import named_device


@dataclass(frozen=True)
class Crew:
    """The processes that train or record one network."""

    rank: Natural = 0
    """This process's number, from 0."""
    size: Positive = 1
    """How many there are."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.rank >= self.size:
            raise InputError(f"Expected a rank below the size, got {self.rank} of {self.size}.")

    @property
    def alone(self) -> bool:
        """One process only."""
        return self.size == 1

    @property
    def leads(self) -> bool:
        """The process that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Until all processes are here."""
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
def joined(device: torch.device | None = None, *, patient: bool = False) -> Iterator[Crew]:
    """The processes that `torchrun` started, or this one alone.

    Args:
        device: of what they exchange (default: the CPU).
        patient: wait for one another for a week, where PyTorch gives up after minutes.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Crew()
        return
    if dist.is_initialized():
        yield Crew(dist.get_rank(), dist.get_world_size())
        return
    backend = "nccl" if device is not None and device.type == "cuda" else "gloo"
    # Under a prefix of its own: a second group would meet the addresses that the first left in torchrun's store.
    store, rank, size = _meeting_place()
    store = dist.PrefixStore(f"crew/{next(_crews)}", store)
    timeout = timedelta(days=7) if patient else None
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
    try:
        yield Crew(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


_crews = count()


@cache
def _meeting_place() -> tuple[dist.Store, int, int]:
    """What `torchrun`'s environment variables say: where processes find each other, this one's number, how many."""
    store, rank, size = next(rendezvous("env://"))
    return store, rank, size


def own_device(device: str) -> torch.device:
    """Of several processes with GPUs, each takes its own: "cuda" is this process's."""
    local = os.environ.get("LOCAL_RANK")
    return named_device(f"cuda:{local}" if device == "cuda" and local is not None else device)
