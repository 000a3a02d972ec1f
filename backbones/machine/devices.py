"""Devices by name."""

import torch

from backbones.errors import InputError


def named_device(name: str) -> torch.device:
    """The device of that name; an `InputError` for an unknown name or a missing GPU."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"Expected the name of a device, such as cpu or cuda, got {name!r}.") from None
    if device.type == "meta":
        raise InputError("Expected a device that computes, got 'meta', which holds no numbers: use cpu.")
    there = {"cuda": torch.cuda.device_count, "mps": lambda: int(torch.backends.mps.is_available())}
    if device.type in there and (count := there[device.type]()) <= (device.index or 0):
        raise InputError(f"Expected a device that PyTorch finds here, got {name!r} and {count} of its kind: use cpu.")
    return device
