"""The number of torch threads, a setting of the whole process."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from backbones.argument_checks import Positive, check_kinds


@contextmanager
@check_kinds
def torch_threads(count: Positive) -> Iterator[None]:
    """Set the number of torch threads inside the block: small networks run faster on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
