"""How many threads torch uses: a setting of the whole process, so it is set back."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from backbones.argument_checks import Positive, check_kinds


@contextmanager
@check_kinds
def torch_threads(count: Positive) -> Iterator[None]:
    """So many torch threads inside the block.

    Small networks run faster on one thread, and on a busy machine many times faster.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
