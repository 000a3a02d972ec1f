"""Fields of traces: checks of shapes, dtypes and values, and images by sample index.

Letters: N rows, T timesteps, F features, M images.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backbones import InputError
from backbones.data import SPLITS
from backbones.energy import EnergyModel
from backbones.errors import check_printable, counted, kind_of, refusing, unknown_name, users_own
from backbones.tensors import as_array as array_of
from backbones.tensors import is_tensor
from seenn_env.arrays import row_chunks

if TYPE_CHECKING:
    from torch import Tensor

Dtype = Literal["float32", "float16"]
"""Of logits, spikes and potentials."""
SPLIT_CODES = {name: code for code, name in enumerate(SPLITS)}
ROW_FIELDS = ("logits", "labels", "sample", "repeat", "hidden", "membrane", "energy_pj", "operations", "spikes")
"""Fields with one entry a row."""


def as_array(values: Any) -> Any:
    """An array of a tensor or a list; anything else is returned as it is."""
    return array_of(values, "a field of traces") if is_tensor(values) or isinstance(values, list | tuple) else values


def finite_array(values: "Tensor", dtype: Any, name: str, sample: np.ndarray | None = None) -> np.ndarray:
    """A tensor `[B, …]` as an array; an `InputError` for NaN or infinity, which names the row by `sample` `[B]`."""
    exact: np.ndarray = (values.float() if values.is_floating_point() else values).cpu().numpy()
    with np.errstate(over="ignore"):  # beyond float16: refused
        array = exact.astype(dtype)
    finite = np.isfinite(array)
    if not finite.all():
        row = finite.reshape(len(array), -1).all(1).argmin()
        owner = "" if sample is None else f" for sample {sample[row]}"
        if np.isfinite(exact).all():
            largest = f"{np.abs(exact).max():g}"
            raise InputError(f"Expected {name} that float16 holds, got {largest}{owner}: use dtype='float32'.")
        raise InputError(f"Expected finite {name}, got NaN or infinity{owner}: check the backbone.")
    return array


def split_codes(split: Any, N: int) -> np.ndarray:
    """`[N]` uint8 indices in `backbones.SPLITS`, of one name, or of a name or a code for each row."""
    if isinstance(split, str):
        if split not in SPLIT_CODES:
            raise unknown_name("split", split, SPLITS)
        return np.full(N, SPLIT_CODES[split], np.uint8)
    codes = np.asarray(as_array(split))
    if codes.shape != (N,):
        raise InputError(f"Expected one split, or one for each of the {counted(N, 'row')}, got {list(codes.shape)}.")
    if codes.dtype.kind in "OUT":
        names, places = np.unique(codes.astype(str), return_inverse=True)
        for name in names.tolist():
            if name not in SPLIT_CODES:
                raise unknown_name("split", name, SPLITS)
        codes = np.array([SPLIT_CODES[name] for name in names])[places]
    if codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= len(SPLITS):
        raise InputError(f"Expected names of splits, or their places in {SPLITS}, got {codes.dtype}.")
    return codes.astype(np.uint8, copy=False)


def check_logits(logits: np.ndarray, N: int) -> None:
    """Refuse logits that are not `[N, T, K]` float32 or float16."""
    if logits.ndim != 3 or len(logits) != N or min(logits.shape) < 1 or logits.shape[2] < 2:
        raise InputError(
            f"Expected logits [N, T, K] and labels [N] with N, T ≥ 1 and K ≥ 2, got logits {list(logits.shape)} "
            f"and labels [{N}]."
        )
    if logits.dtype not in (np.float32, np.float16):
        raise InputError(f"Expected float32 or float16 logits, got {logits.dtype}: convert them.")


def check_row_fields(fields: Mapping[str, Any], N: int, T: int) -> None:
    """Refuse optional fields of another shape or dtype."""
    sizes, floats = {"N": N, "T": T, "3": 3}, ("float32", "float16")
    layouts: dict[str, tuple[str, tuple[str, ...]]] = {
        "hidden": ("NTF", floats),
        "membrane": ("NTF", floats),
        "energy_pj": ("NT", ("float32",)),
        "operations": ("NT3", ("int64",)),
        "spikes": ("NT", ("int64",)),
    }
    for name, (axes, dtypes) in layouts.items():
        field = fields[name]
        if field is None:
            continue
        given = list(field.shape)
        fits = len(given) == len(axes) and all(sizes.get(a, size) == size for a, size in zip(axes, given, strict=True))
        if not fits or 0 in given or field.dtype not in dtypes:
            expected = ", ".join(str(sizes.get(axis, axis)) for axis in axes)
            raise InputError(
                f"Expected {name} [{', '.join(axes)}] = [{expected}] of {' or '.join(dtypes)}, "
                f"got {given} of {field.dtype}."
            )


def check_values(fields: Mapping[str, Any]) -> None:
    """Refuse numbers that are not finite, and sums over timesteps that fall."""
    for name in ("logits", "hidden", "membrane", "energy_pj"):
        field = fields.get(name)
        if field is None:
            continue
        for rows in row_chunks(field):
            if not (finite := np.isfinite(field[rows]).reshape(rows.stop - rows.start, -1).all(1)).all():
                bad = rows.start + int(finite.argmin())
                raise InputError(f"Expected finite {name}, got NaN or infinity in row {bad}: check the backbone.")
    for name in ("sample", "repeat"):
        if fields[name].min() < 0:
            raise InputError(f"Expected {name} from 0, got {fields[name].min()}: number them from 0.")
    for name in ("energy_pj", "operations", "spikes"):
        field = fields.get(name)
        if field is not None and (field[:, 0].min() < 0 or (np.diff(field, axis=1) < 0).any()):
            raise InputError(f"Expected {name} from 0 that never falls: it is the sum up to each timestep.")


def check_info(info: Mapping[str, Any], K: int) -> None:
    """Refuse known facts of another kind, and names of other than K classes."""
    for name, kind in (("fingerprint", str), ("dataset", str), ("division", Mapping)):
        if not isinstance(info.get(name), kind | None):
            raise InputError(f"Expected {name} in info as text, of a division a dictionary, got {kind_of(info[name])}.")
    with users_own("info of facts that JSON holds"):
        json.dumps(info)
    with refusing("Expected the energy_model in info as picojoules by name", errors=(TypeError,)):
        EnergyModel(**(info.get("energy_model") or {}))
    names = info.get("class_names") or []
    if not isinstance(names, list | tuple) or len(names) not in (0, K) or not all(isinstance(n, str) for n in names):
        raise InputError(f"Expected class_names in info as a list of {K} texts, got {names!r:.100}: name every class.")
    check_printable([*names, info.get("dataset") or ""], "class_names and dataset in info")


def check_images(images: np.ndarray | None, index: np.ndarray | None) -> None:
    """Refuse images that are not `[M, C, H, W]` uint8 with an index `[M]` of different samples."""
    if images is None and index is None:
        return
    if images is None or index is None:
        raise InputError("Expected images and image_index together, got one of them: pass both.")
    if images.ndim != 4 or 0 in images.shape[1:] or images.dtype != np.uint8 or index.shape != images.shape[:1]:
        raise InputError(
            f"Expected images [M, C, H, W] of uint8 and image_index [M], got {list(images.shape)} of "
            f"{images.dtype} and {list(index.shape)}."
        )
    if len(np.unique(index)) != len(index):
        raise InputError("Expected image_index to name each sample once, got one twice: omit the copies.")


def frames_refused(observation: Any) -> InputError:
    """The refusal of frames over time where a policy reads an image before the first timestep."""
    return InputError(
        f"Expected still images for the observation {observation!r}, got frames over time, whose mean shows timesteps "
        "yet to come: use 'features', or an embedding of your own."
    )


def image_places(index: np.ndarray | None, sample: np.ndarray) -> np.ndarray:
    """`[N]` the place of each `sample` `[N]` in `index` `[M]`; an `InputError` for a missing one."""
    if index is None or not len(index):
        raise InputError("Expected images of the samples, got none: record with images=True, or pass the samples.")
    order = np.argsort(index)
    places = order[np.searchsorted(index[order], sample).clip(max=len(index) - 1)]
    if (missing := index[places] != sample).any():
        raise InputError(
            f"Expected an image of every sample, got none of sample {sample[missing][0]} and {missing.sum() - 1} "
            "more rows: pass the samples of this split and dataset."
        )
    return places


def used_images(images: np.ndarray | None, index: np.ndarray | None, sample: np.ndarray) -> dict[str, np.ndarray]:
    """The images of these samples as fields; none where there are no images."""
    if images is None or index is None:
        return {}
    used = np.isin(index, sample)
    if not used.all():
        images, index = images[used], index[used]
    return {"images": images, "image_index": index}


def join_images(
    parts: Sequence[tuple[np.ndarray | None, np.ndarray | None]],
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Images and index of several traces, each sample once; an `InputError` for different shapes."""
    present = [(images, index) for images, index in parts if images is not None and index is not None]
    if not present:
        return None, None
    shapes = {images.shape[1:] for images, _ in present}
    if len(shapes) > 1:
        raise InputError(f"Expected images of one shape [C, H, W], got {sorted(shapes)}.")
    images, index = (np.concatenate(arrays) for arrays in zip(*present, strict=True))
    first = np.sort(np.unique(index, return_index=True)[1])
    return images[first], index[first]
