"""Hooks on modules for the duration of a block."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


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
