"""Recording of a frozen backbone into traces, for replay by environments, training and evaluation.

traces = record(backbone, splits.policy, "policy.safetensors", repeats=20)

Letters: N rows, T timesteps, F features of the last hidden layer.
"""

import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from backbones import Backbone, InputError, Samples
from backbones.argument_checks import Positive, check_kinds
from backbones.atomic import check_file_name, check_own_folder
from backbones.contract import check_images, make_keys, probe_sizes, run_probed
from backbones.data import Augmentation, check_fit
from backbones.energy import EnergyModel, Metered
from backbones.hashing import hash_rows
from backbones.machine import ProcessGroup, process_group
from seenn_env.event_frames import mean_over_frames
from seenn_env.traces.energy import energy_pj
from seenn_env.traces.fields import Dtype, check_info, finite_array
from seenn_env.traces.partial import PartialRecording
from seenn_env.traces.traces import Traces

_SECONDS_BETWEEN_SAVES = 2.0


@check_kinds
def record(
    backbone: Backbone,
    samples: Samples,
    path: str | Path | None = None,
    *,
    repeats: Positive = 1,
    augmentation: Augmentation | None = None,
    batch_size: Positive = 256,
    dtype: Dtype = "float32",
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
    (from `<path>.partial`), and the file is the same, byte for byte. Under `torchrun`, the processes of one
    machine share the batches, and each has to call this; the file is that of one process of as many threads.

    Args:
        backbone: the frozen network.
        samples: images of one split.
        path: file to write; None keeps the traces in memory (of several processes, each records all of them).
        repeats: rows of each sample, each with input spikes of its own; with a deterministic encoding they are
            equal unless augmented.
        augmentation: of the images of all repeats but the first.
        batch_size: rows that the network runs at once; every batch is padded to it.
        dtype: of the stored logits, spikes and potentials.
        hidden: also record the pooled spikes of the last hidden layer, `[N, T, F]`.
        membrane: also record its pooled membrane potentials, `[N, T, F]`.
        energy: also count every row's synaptic operations and spikes, and the energy of them: `operations`,
            `spikes` and `energy_pj`. The network has to be a `torch.nn.Module`.
        energy_model: picojoules of an operation (default: `EnergyModel()`).
        images: also keep the samples' images (of frames over time: their mean, as a picture).
        overwrite: replace a file, or a partial recording with other settings.
        progress: show a progress bar (of several processes: of the first one's share).

    Raises:
        InputError: for repeats or batch_size below 1, an existing file, a partial recording with other settings or
            images, samples of other classes, shape, form or T than the backbone's, NaN or infinity, or a backbone
            without the probes or counts to record.
    """
    if energy_model is not None and not energy:
        raise InputError("Expected energy=True with an energy_model, got energy=False: omit the model.")
    names = tuple(getattr(backbone, "class_names", ()))
    shape = getattr(backbone, "sample_shape", None)
    check_fit(samples, backbone.num_classes, backbone.timesteps, shape, class_names=names)
    check_images(samples.images, backbone, what="samples")
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
        "class_names": list(samples.class_names or names),
        "batch_size": batch_size,
        "version": 1,
    }
    check_info(info, backbone.num_classes)
    runner = backbone
    if energy:
        runner = backbone if isinstance(backbone, Metered) else Metered(backbone)
        info["energy_model"] = asdict(energy_model := energy_model or EnergyModel())
        counted = {"operations": (*shapes["logits"][:2], 3)}
        if runner.sees_spikes:
            counted["spikes"] = shapes["logits"][:2]
        shapes, dtypes, probes = shapes | counted, dtypes | dict.fromkeys(counted, "int64"), [*probes, *counted]
    shown, images_shown = shows, samples.images
    if augmentation is not None:
        info["augmentation"] = asdict(augmentation)
        images_shown, shown = augmentation.repeats(samples, repeats), np.arange(len(shows))
    if samples.division:
        info["division"] = samples.division
    if samples.images.ndim == 5:
        info["frames"] = samples.images.shape[1]
    settings = {**info, "split": samples.split, "repeats": repeats, "dtype": dtype, "shapes": shapes, "images": images}
    settings["samples"] = samples.index.tolist()
    if path is not None:
        settings["data"] = hash_rows(samples.images, samples.labels)

    with nullcontext(ProcessGroup()) if path is None else process_group(long_waits=True) as group:
        if path is None:
            partial = PartialRecording.in_memory(shapes, dtypes, batch_size=batch_size)
        else:
            path = Path(path)
            check_file_name(path)
            folder = path.with_name(path.name + ".partial")
            check_own_folder(folder)
            there = path.exists() and not overwrite
            if there and not PartialRecording.is_finished(folder, settings):
                PartialRecording.remove_rest(folder)
                raise InputError(f"{path} holds a recording already: choose another path, or set overwrite.")
            options: dict[str, Any] = {"batch_size": batch_size, "group": group, "overwrite": overwrite}
            partial = PartialRecording.open(folder, settings, shapes, dtypes, **options)
        begins = [batch * batch_size for batch in partial.missing(group)]
        rows_left = sum(min(batch_size, len(shows) - begin) for begin in begins)
        total = len(shows) if group.alone else rows_left
        hide = not (progress and group.is_first)
        bar = tqdm(total=total, initial=total - rows_left, desc="record", unit="row", disable=hide)
        saved = time.monotonic()
        run: dict[str, Any] = {"probes": probes, "shows": shown, "batch_size": batch_size, "begins": begins}
        for rows, batch in run_probed(runner, images_shown, make_keys(sample, repeat), **run):
            for name, values in batch.items():
                array = finite_array(values, dtypes[name], name, sample[rows])
                partial.fields[name][rows] = array.reshape(partial.fields[name][rows].shape)
            partial.note(rows.start // batch_size)
            if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                partial.keep()
                saved = time.monotonic()
            bar.update(rows.stop - rows.start)
        bar.close()
        partial.keep()
        group.wait()  # all rows are there
        if group.is_first:
            fields: dict[str, Any] = dict(partial.fields)
            if energy_model is not None and energy:
                fields["energy_pj"] = energy_pj(fields["operations"], energy_model)
            traces = Traces(
                **fields,
                labels=samples.labels[shows],
                split=samples.split,
                sample=sample,
                repeat=repeat,
                images=mean_over_frames(samples.images) if images else None,
                image_index=samples.index if images else None,
                info=info,
            )
            if path is None:
                return traces
            partial.finish()
            traces.save(path)
            partial.remove()
        group.wait()  # the file is there
    assert path is not None
    return Traces.load(path)
