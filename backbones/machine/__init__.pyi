from .devices import named_device
from .processes import ProcessGroup, own_device, process_group
from .threads import torch_threads

__all__ = [
    "ProcessGroup",
    "named_device",
    "own_device",
    "process_group",
    "torch_threads",
]
