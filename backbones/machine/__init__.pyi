from .devices import named_device
from .processes import Crew, joined, own_device
from .threads import torch_threads

__all__ = [
    "Crew",
    "joined",
    "named_device",
    "own_device",
    "torch_threads",
]
