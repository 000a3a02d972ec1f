"""Everything that is computed from a seed, in small.

OMP_NUM_THREADS=2 python -m tests.helpers.outputs FILE.npz
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import agents
import backbones as bb
from backbones.networks import SpikingNetwork
from seenn_env import Traces, evaluate, record
from tests.helpers.traces import make_traces

NETWORKS = ("small", "resnet9")
LEARNERS = ("exact", "optimal-stopping", "one-shot", "ppo", "a2c", "dqn", "qrdqn", "recurrent-ppo")
OUTPUTS = (
    *(f"train-backbone {name}" for name in NETWORKS),
    *(f"record {name} {form}" for name in NETWORKS for form in ("plain", "folded", "bfloat16")),
    *("convert relu", "convert qcfs", "live pool"),
    *(f"train {name}" for name in LEARNERS),
    *("evaluate", "compare"),
)


def output(name: str) -> np.ndarray:
    """All numbers, or the bytes of the file, of one of `OUTPUTS`."""
    kind, *rest = name.split()
    digits = bb.load_dataset("digits")
    match kind:
        case "train-backbone":
            few = replace(
                digits, train=digits.train.select(slice(256)), calibration=digits.calibration.select(slice(9))
            )
            network = build(*rest)
            bb.train(network, few, bb.TrainingConfig(epochs=2))
            return weights(network)
        case "record":
            traces = record(in_form(*rest), digits.test.select(slice(200)), hidden=True, membrane=True)
            return numbers(traces.logits, traces.hidden, traces.membrane)
        case "convert":
            trained = build("resnet9", neuron=rest[0], timesteps=1, encoding="direct")
            return weights(bb.convert(trained.eval(), digits.train if rest[0] == "relu" else None, timesteps=4))
        case "live":
            settings: dict[str, Any] = {"num_slots": 64, "energy_images": 64}
            found = agents.classify(digits.test, in_form("resnet9", "folded"), agents.Margin(0.02), **settings)
            return numbers(found.predictions, found.timesteps, found.confidence)
        case "train":
            return np.frombuffer(policy_file(*rest), np.uint8)
        case "evaluate":
            results = (evaluate(agents.Margin(0.5), rows(), split=split) for split in ("policy", "test"))
            return numbers(*(part for result in results for part in (result.exit_timesteps, result.predictions)))
        case _:
            rules = [agents.calibrate(rule, rows().select("calibration"), target_timesteps=1.5) for rule in RULES]
            learned = agents.train("exact", rows(), target_timesteps=1.5, steps=40)
            compared = agents.compare({"margin": rules[0], "entropy": rules[1], "exact": learned}, rows()).to_dict()
            del compared["provenance"]  # it has the command
            return np.frombuffer(json.dumps(compared).encode(), np.uint8)


RULES = (agents.Margin(), agents.Entropy())


@cache
def rows() -> Traces:
    """Synthetic traces of all splits, with images."""
    parts = [make_traces(300, split=split, seed=i) for i, split in enumerate(("policy", "calibration", "test"))]
    traces, images = Traces.merge(*parts), np.random.default_rng(0).integers(256, size=(900, 1, 8, 8), dtype=np.uint8)
    index: dict[str, Any] = {"sample": np.arange(900), "image_index": np.arange(900), "images": images}
    return Traces(
        logits=traces.logits, labels=traces.labels, split=np.repeat(["policy", "calibration", "test"], 300), **index
    )


def build(name: str, **settings: Any) -> SpikingNetwork:
    """An untrained network for digits that spikes."""
    common = {"num_classes": 10, "timesteps": 4, "input_shape": (1, 8, 8), "width": 32}
    lif = {"type": "lif", "v_threshold": 0.1}
    return bb.build(name, **{**common, "neuron": lif, **settings})


def in_form(name: str, form: str) -> bb.Backbone:
    """That network in a form for inference."""
    network = build(name).eval()
    if form == "plain":
        return network
    return network.optimize(**({"dtype": "bfloat16", "min_agreement": None} if form == "bfloat16" else {}))


def policy_file(learner: str) -> bytes:
    """The file of a policy that has learned for a short time."""
    short: dict[str, Any] = {"exact": {"steps": 40}, "one-shot": {"epochs": 2}, "optimal-stopping": {}}
    settings = short.get(learner, {"total_timesteps": 1024, "num_envs": 64})
    if learner in (*short, "ppo"):  # the other networks are taught and calibrated as that of ppo is
        settings = {**settings, "target_timesteps": 1.5}
    policy = agents.train(learner, rows(), seed=1, **settings)
    with tempfile.TemporaryDirectory() as folder:
        return agents.save(policy, Path(folder) / "policy.safetensors").read_bytes()


def weights(network: torch.nn.Module) -> np.ndarray:
    return numbers(*network.state_dict().values())


def numbers(*arrays: Any) -> np.ndarray:
    return np.concatenate([np.asarray(array, np.float32).ravel() for array in arrays])


def outputs(names: Sequence[str] = OUTPUTS) -> dict[str, np.ndarray]:
    """Outputs by name, as many as are asked for."""
    return {name: output(name) for name in names}


if __name__ == "__main__":
    np.savez(sys.argv[1], threads=torch.get_num_threads(), **outputs())  # type: ignore[arg-type]
