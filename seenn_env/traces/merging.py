"""All rows of several traces of one backbone as one."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from backbones import InputError
from seenn_env.arrays import join_rows
from seenn_env.traces.fields import ROW_FIELDS, join_images

if TYPE_CHECKING:
    from seenn_env.traces.traces import Traces


def merged(parts: "tuple[Traces, ...]") -> "Traces":
    """See `Traces.merge`."""
    first = parts[0]
    for other in parts[1:]:
        sizes = [(part.timesteps, part.num_classes) for part in (first, other)]
        if sizes[0] != sizes[1]:
            raise InputError(f"Expected traces of equal T and K, got {sizes[0]} and {sizes[1]}.")
        other.check_backbone(first.info.get("fingerprint"))
        for name in ROW_FIELDS:
            shapes = [None if (field := getattr(part, name)) is None else field.shape[1:] for part in (first, other)]
            if shapes[0] != shapes[1]:
                raise InputError(
                    f"Expected {name} in all of the traces, of one size, or in none, got {shapes[0]} and "
                    f"{shapes[1]} a row: record the same of each."
                )
    joined: dict[str, Any] = {
        name: join_rows([getattr(part, name) for part in parts])
        for name in ROW_FIELDS
        if getattr(first, name) is not None
    }
    images, image_index = join_images([(part.images, part.image_index) for part in parts])
    codes = np.concatenate([part.split_codes for part in parts])
    facts: dict[str, Any] = {**joined, "split": codes, "images": images, "image_index": image_index}
    return replace(first, **facts, path=None, seal=None, trusted=True)
