"""Temporary replacement of modules' forward functions."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Forward = Callable[[Tensor], Tensor]


@contextmanager
def forwards_replaced(modules: Iterable[nn.Module], make: Callable[[Any, Forward], Forward]) -> Iterator[None]:
    """Replace each module's forward by `make(module, its own forward)` inside the block."""
    modules = list(modules)
    for module in modules:
        module.forward = make(module, module.forward)
    try:
        yield
    finally:
        for module in modules:
            del module.__dict__["forward"]
