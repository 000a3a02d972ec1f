"""Recording a frozen backbone once, so that environments, training and evaluation are table look-ups.

traces = record(backbone, splits.policy, "policy.safetensors", repeats=20)

Letters: N rows, T timesteps, F features of the last hidden layer.
"""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from backbones import Backbone, EnergyModel, InputError, Metered, Samples, check_fit, make_keys, probe_sizes, run_probed
from seenn_env.pictures import has_frames, still
from seenn_env.trace_energy import energy_pj
from seenn_env.traces import Traces

_SECONDS_BETWEEN_SAVES = 2.0


def record(
    backbone: Backbone,
    samples: Samples,
    path: str | Path | None = None,
    *,
    repeats: int = 1,
    batch_size: int = 256,
    dtype: Literal["float32", "float16"] = "float32",
    hidden: bool = False,
    membrane: bool = False,
    energy: bool = False,
    energy_model: EnergyModel | None = None,
    images: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Traces:
    """The backbone's running logits over all timesteps of every sample.

    A recording into a file may be killed at any moment: the next one with the same arguments continues it
    (from `<path>.partial`), and the file comes out the same, byte for byte.

    Args:
        backbone: the frozen network.
        samples: images of one split.
        path: file to write; None keeps the traces in memory.
        repeats: how many rows each sample gets, each with input spikes of its own. A deterministic
            encoding gives the same row every time.
        batch_size: rows that the network runs at once; every batch is padded to it.
        dtype: of the stored logits, spikes and potentials.
        hidden: also record the pooled spikes of the last hidden layer, `[N, T, F]`.
        membrane: also record its pooled membrane potentials, `[N, T, F]`.
        energy: also count every row's synaptic operations and spikes, and the energy of them: `operations`,
            `spikes` and `energy_pj`. The network has to be a `torch.nn.Module`.
        energy_model: what an operation costs (default: `EnergyModel()`).
        images: also keep the samples' images (of frames over time: their mean, as a picture).
        overwrite: replace a file, or a partial recording with other settings.
        progress: show a progress bar.

    Raises:
        InputError: for repeats or batch_size below 1, a file that is there already, a partial recording
            with other settings, samples of other classes or T than the backbone's, NaN or infinity, or a
            backbone that does not give what is to be recorded.
    """
    if repeats < 1 or batch_size < 1:
        raise InputError(f"Expected repeats ≥ 1 and batch_size ≥ 1, got {repeats} and {batch_size}.")
    if dtype not in ("float32", "float16"):
        raise InputError(f"Expected dtype 'float32' or 'float16', got {dtype!r}.")
    check_fit(samples, backbone.num_classes, backbone.timesteps)
    shows = np.repeat(np.arange(len(samples)), repeats)
    repeat = np.tile(np.arange(repeats, dtype=np.int32), len(samples))
    sample = samples.index[shows]
    probes = [name for name, wanted in (("hidden", hidden), ("membrane", membrane)) if wanted]
    sizes = probe_sizes(backbone, samples.images[:1], probes) if probes else {}
    shapes: dict[str, tuple[int, ...]] = {
        name: (len(shows), backbone.timesteps, size) for name, size in {"logits": backbone.num_classes, **sizes}.items()
    }
    dtypes: dict[str, Any] = dict.fromkeys(shapes, dtype)
    info = {
        "fingerprint": backbone.fingerprint,
        "dataset": samples.dataset,
        "class_names": list(samples.class_names),
        "batch_size": batch_size,
        "version": 1,
    }
    runner = backbone
    if energy:
        runner = backbone if isinstance(backbone, Metered) else Metered(backbone)
        info["energy_model"] = asdict(energy_model := energy_model or EnergyModel())
        counted = {"operations": (*shapes["logits"][:2], 3)}
        if runner.sees_spikes:
            counted["spikes"] = shapes["logits"][:2]
        shapes, dtypes, probes = shapes | counted, dtypes | dict.fromkeys(counted, "int64"), [*probes, *counted]
    if samples.division:
        info["division"] = samples.division
    if has_frames(samples.images):
        info["frames"] = samples.images.shape[1]
    settings = {**info, "split": samples.split, "repeats": repeats, "dtype": dtype, "shapes": shapes, "images": images}
    settings["samples"] = samples.index.tolist()

    if path is None:
        partial, done = None, 0
        fields: dict[str, Any] = {name: np.empty(shape, dtypes[name]) for name, shape in shapes.items()}
    else:
        path = Path(path)
        if path.exists() and not overwrite:
            raise InputError(f"{path} holds a recording already: choose another path, or set overwrite.")
        partial = path.with_name(path.name + ".partial")
        fields, done = _open_partial(partial, settings, shapes, dtypes, overwrite)

    bar = tqdm(total=len(shows), initial=done, desc="record", unit="row", disable=not progress)
    saved = time.monotonic()
    keys = make_keys(sample, repeat)
    batches = run_probed(runner, samples.images, keys, probes=probes, shows=shows, batch_size=batch_size, first=done)
    for rows, batch in batches:
        for name, given in batch.items():
            values = (given.float() if given.is_floating_point() else given).cpu().numpy().astype(dtypes[name])
            if not np.isfinite(values).all():
                bad = sample[rows][~np.isfinite(values).all((1, 2))][0]
                raise InputError(f"Expected finite {name}, got NaN or infinity for sample {bad}: look at the backbone.")
            fields[name][rows] = values.reshape(fields[name][rows].shape)
        if partial is not None and time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
            _save_progress(partial, fields, rows.stop)
            saved = time.monotonic()
        bar.update(rows.stop - rows.start)
    bar.close()

    if energy_model is not None and energy:
        fields["energy_pj"] = energy_pj(fields["operations"], energy_model)
    traces = Traces(
        **fields,
        labels=samples.labels[shows],
        split=samples.split,
        sample=sample,
        repeat=repeat,
        images=still(samples.images) if images else None,
        image_index=samples.index if images else None,
        info=info,
    )
    if path is None or partial is None:
        return traces
    traces.save(path)
    shutil.rmtree(partial)
    return Traces.load(path)


def _open_partial(
    partial: Path, settings: dict[str, Any], shapes: dict[str, tuple[int, ...]], dtypes: dict[str, str], overwrite: bool
) -> tuple[dict[str, Any], int]:
    file, wanted = partial / "settings.json", json.dumps(settings, sort_keys=True)
    if file.exists() and file.read_text() == wanted:
        done = json.loads((partial / "progress.json").read_text())["rows"]
        return {name: np.lib.format.open_memmap(partial / f"{name}.npy", "r+") for name in shapes}, done
    if file.exists() and not overwrite:
        raise InputError(f"{partial} holds part of a recording with other settings: delete it, or set overwrite.")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    fields = {
        name: np.lib.format.open_memmap(partial / f"{name}.npy", "w+", np.dtype(dtypes[name]), shape)
        for name, shape in shapes.items()
    }
    _save_progress(partial, fields, 0)
    file.write_text(wanted)  # last: a folder with settings is a whole one
    return fields, 0


def _save_progress(partial: Path, fields: dict[str, Any], rows: int) -> None:
    for field in fields.values():
        field.flush()
    temporary = partial / "progress.json.tmp"
    temporary.write_text(json.dumps({"rows": rows}))
    temporary.replace(partial / "progress.json")
