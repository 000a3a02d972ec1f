"""A small untrained backbone and everything that can be recorded of it, for the tests."""

from functools import cache

import numpy as np

import backbones as bb
from seenn_env import Traces, record

BATCH = 8
EVERY = {"hidden": True, "membrane": True, "images": True}


@cache
def small_backbone(timesteps=4, encoding="poisson"):
    return bb.build(
        "small",
        num_classes=10,
        timesteps=timesteps,
        input_shape=(1, 8, 8),
        encoding=encoding,
        neuron={"type": "lif", "v_threshold": 0.1},  # low: it shall spike without training
        width=4,
    )


@cache
def few_samples(split="policy", count=12):
    return bb.load_dataset("digits")[split].select(slice(count))


@cache
def full_traces(split="policy", dtype="float16", repeats=2):
    """Traces with every optional field; `[N, T, K]` = [24, 4, 10]."""
    traces = record(small_backbone(), few_samples(split), repeats=repeats, batch_size=BATCH, dtype=dtype, **EVERY)
    fields = {name: getattr(traces, name) for name in ("logits", "labels", "sample", "repeat", "hidden", "membrane")}
    energy = np.cumsum(np.random.default_rng(0).uniform(1, 2, traces.logits.shape[:2]), 1).astype(np.float32)
    return Traces(
        **fields, split=split, energy_pj=energy, images=traces.images, image_index=traces.image_index, info=traces.info
    )
