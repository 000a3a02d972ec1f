"""Check of a network's inputs: uint8, or floats in [0, 1]; frames over time may be any finite numbers.

check_images(images)                        # or an InputError

Letters: B images, C channels, H × W pixels, T frames.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from backbones.errors import InputError, kind_of, shown
from backbones.tensors import is_tensor

if TYPE_CHECKING:
    from torch import Tensor

_SLACK = 1e-3
"""Accepted rounding beyond [0, 1], such as that of a resized image."""
_AT_ONCE = 1 << 24
"""Values of an array that are read together."""


def check_images(images: Any, encoding: Any = None, *, values: bool = True, what: str = "images") -> None:
    """Refuse inputs of another form than a network takes.

    Still images are uint8, or floats in [0, 1]. Frames, and inputs other than `[B, C, H, W]` in the direct encoding,
    may be any finite numbers.

    Args:
        images: `[B, …]` an array, or a tensor.
        encoding: the network's `Encoding`, or the network (default: inputs `[B, T, C, H, W]` are frames).
        values: read the values too, not only the dtype. Floats take 4 µs for one image of CIFAR-10's size and 40 µs
            for 64; uint8 and `values=False` 0.3 µs.
        what: their name in the error.

    Raises:
        InputError: with the dtype or the range.
    """
    if not hasattr(images, "dtype") or images.ndim == 0:
        raise InputError(f"Expected {what} as an array or a tensor, got {kind_of(images)}.")
    if not isinstance(values, bool):
        raise InputError(f"Expected values to be True or False, got {kind_of(values)}.")
    dtype = str(images.dtype).removeprefix("torch.")
    if dtype == "uint8":
        return
    encoding = encoding if hasattr(encoding, "frames") else encoding_of(encoding)
    frames = bool(encoding.frames) if encoding is not None else images.ndim == 5
    floating = dtype.startswith(("float", "bfloat"))
    if not floating and not (frames and dtype.startswith(("int", "uint", "bool"))):
        advice = "multiply them by 255 and pass uint8" if dtype == "bool" else "pass them as uint8, or as floats / 255"
        raise InputError(f"Expected {what} of {'numbers' if frames else _ACCEPTED}, got {dtype}: {advice}.")
    if not floating or not values:
        return
    low, high = _range(images)
    if not np.isfinite(low) or not np.isfinite(high):
        raise InputError(f"Expected {what} of finite numbers, got NaN or infinity: check their source.")
    bounded = not frames and (images.ndim == 4 or (encoding is not None and not encoding.static))
    if bounded and not (low >= -_SLACK and high <= 1 + _SLACK):
        advice = "divide them by 255, or pass uint8"
        if low < -_SLACK:
            advice = "pass them as they were before they were normalised: a mean and a deviation belong to the network"
        raise InputError(f"Expected {what} of {_ACCEPTED}, got {dtype} from {low:.4g} to {high:.4g}: {advice}.")


_ACCEPTED = "uint8 or floats in [0, 1]"


def as_tensor(values: Any, what: str = "images") -> "Tensor":
    """A tensor of a tensor, an array or a sequence of numbers; an `InputError` for anything else or a single number."""
    import torch

    if isinstance(values, torch.Tensor):
        tensor = values
    else:
        try:
            array = np.asarray(values)
        except ValueError:  # sequences of different lengths
            array = np.array(None)
        if array.dtype.kind not in "buif" or array.dtype.itemsize > 8:
            raise InputError(f"Expected {what} as an array or a tensor of numbers, got {kind_of(values)}.")
        plain = array.flags.writeable and array.dtype.isnative and min(array.strides, default=0) >= 0
        tensor = torch.as_tensor(array if plain else array.astype(array.dtype.newbyteorder("="), order="C"))
    if tensor.dim() == 0:
        raise InputError(f"Expected {what} as an array or a tensor with a row each, got {shown(values)}.")
    return tensor


def whole_numbers(values: Any, what: str, count: int | None = None) -> "Tensor":
    """`[R]` int64, R = `count`; an `InputError` for other numbers."""
    tensor = as_tensor(values, what)
    whole = "int" in str(tensor.dtype) or not tensor.numel()
    if tensor.dim() != 1 or not whole or (count is not None and len(tensor) != count):
        R = "R" if count is None else count
        raise InputError(f"Expected {what} [{R}] of whole numbers, got {shown(tensor)}.")
    return tensor.long()


def keys_of(keys: Any, count: int) -> "Tensor":
    """`[B]` int64 keys of `count` inputs (None: all 0); an `InputError` for others, or no inputs."""
    if not count:
        raise InputError("Expected at least one input, got none.")
    return whole_numbers([0] * count if keys is None else keys, "keys", count)


def check_state(state: Any, kind: type, backbone: Any) -> None:
    """Refuse a state that no `start`, `step` or `refill` of the backbone has returned, as far as its size shows it."""
    readout = getattr(state, "readout", None)
    if not isinstance(state, kind) or (readout is not None and readout.shape[1] != backbone.num_classes):
        raise InputError(f"Expected a state that start, step or refill of {backbone!r} returned, got {kind_of(state)}.")


def check_rows(rows: Any, count: int, keys: "Tensor") -> "Tensor":
    """`[R]` int64 rows of a batch of `count`, one for each new key `[R]`; an `InputError` for others."""
    numbers = whole_numbers(rows, "rows", len(keys))
    if numbers.device.type == "cpu" and len(numbers) and not 0 <= numbers.min() <= numbers.max() < count:
        raise InputError(f"Expected rows in 0…{count - 1}, got {numbers.tolist()}.")
    return numbers


def check_channels(images: Any, what: str = "images") -> None:
    """Refuse `[B, H, W, C]` where `[B, C, H, W]` is expected, as far as the shape shows it."""
    shape = tuple(images.shape)
    if len(shape) == 4 and min(shape[1:3]) > 4 and (shape[3] in (3, 4) or (shape[3] == 1 and shape[1] == shape[2])):
        raise InputError(f"Expected {what} [B, C, H, W], got {list(shape)}{channels_advice(shape[1:])}")


def channels_advice(shape: tuple[int, ...], expected: tuple[int, ...] | None = None) -> str:
    """The remedy where images are `shape` as `[…, H, W, C]` and `expected` as `[…, C, H, W]`; else "."."""
    *before, height, width, channels = shape if len(shape) > 2 else (0, 0, 0)
    if expected is not None and tuple(expected) != (*before, channels, height, width):
        return "."
    order = (0, *range(1, len(before) + 1), *(len(before) + place for place in (3, 1, 2)))
    return f", which seems to be channels last: pass images.transpose{order}, or images.permute{order} of a tensor."


def encoding_of(backbone: Any) -> Any:
    """The `Encoding` of a backbone, or of the backbone in a `Metered`; None where it has none."""
    return getattr(getattr(backbone, "backbone", backbone), "encoding", None)


def _range(images: Any) -> tuple[float, float]:
    """The smallest and the largest value; NaN where there is a NaN."""
    if len(images) == 0 or 0 in images.shape:
        return 0.0, 0.0
    if is_tensor(images):
        low, high = images.detach().aminmax()
        return float(low), float(high)
    step = max(1, _AT_ONCE // max(1, int(np.prod(images.shape[1:]))))
    parts = (images[at : at + step] for at in range(0, len(images), step))
    ranges = np.array([(part.min(), part.max()) for part in parts], np.float64)
    return float(ranges[:, 0].min()), float(ranges[:, 1].max())
