"""Devices by name."""

import torch

from backbones.errors import InputError


def named_device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        InputError: for a name that PyTorch does not know, or a GPU that this machine does not have.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"Expected the name of a device, such as cpu or cuda, got {name!r}.") from None
    there = {"cuda": torch.cuda.device_count, "mps": lambda: int(torch.backends.mps.is_available())}
    if device.type in there and (count := there[device.type]()) <= (device.index or 0):
        raise InputError(f"Expected a device that PyTorch finds here, got {name!r} and {count} of its kind: use cpu.")
    return device
