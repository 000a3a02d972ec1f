"""Changes of modules for the duration of a block: hooks, and other forward functions."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

Forward = Callable[[Tensor], Tensor]


@contextmanager
def hooked(
    modules: Iterable[nn.Module], hook: Callable[..., Any], *, before: bool = False, with_kwargs: bool = False
) -> Iterator[None]:
    """Call `hook` after, or before, each forward of the modules inside the block, with torch's arguments."""
    register = nn.Module.register_forward_pre_hook if before else nn.Module.register_forward_hook
    handles = [register(module, hook, with_kwargs=with_kwargs) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


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
