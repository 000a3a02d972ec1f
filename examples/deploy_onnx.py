"""An exported network and policy under onnxruntime: a slot that exits is refilled with the next image.

    python examples/deploy_onnx.py

Nothing but numpy and onnxruntime runs the network; torch only wrote the files.
"""

import json
from pathlib import Path

import numpy as np

from backbones.contract import make_keys


def classify(folder: Path, images: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`[N]` predictions and exit timesteps of images `[N, C, H, W]`, floats in [0, 1]."""
    import onnxruntime

    start, step, policy = (
        onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("start", "step", "policy")
    )
    about = json.loads((folder / "network.json").read_text())
    B, N = about["num_slots"], len(images)
    shown = np.full(B, -1)
    state = {name: np.zeros(shape, np.float32) for name, shape in about["membranes"].items()}
    state |= {"keys": np.zeros(B, np.int64), "timestep": np.zeros(B, np.int64)}
    state["readout"] = previous = np.zeros((B, about["num_classes"]), np.float32)
    wanted = [given.name for given in step.get_inputs()]
    predictions, exits, given = np.full(N, -1), np.zeros(N, int), 0
    while given < N or (shown >= 0).any():
        fresh = (shown < 0) & (given + np.cumsum(shown < 0) <= N)
        rows = np.arange(given, given + fresh.sum())
        given += len(rows)
        batch = np.zeros((B, *images.shape[1:]), np.float32)
        batch[fresh], shown[fresh] = images[rows], rows
        (source,) = run(start, images=batch)
        state["source"] = np.where(fresh[:, None, None, None], source, state.get("source", source))
        state["keys"][fresh], state["timestep"][fresh], state["readout"][fresh] = keys[rows], 0, 0
        state["fresh"] = fresh
        logits, *after = run(step, **{name: state[name] for name in wanted})
        state |= dict(zip(("timestep", "readout", *about["membranes"]), after, strict=True))
        (leaves,) = run(policy, logits=logits, previous=previous, timestep=state["timestep"])
        leaving = leaves & (shown >= 0)
        predictions[shown[leaving]] = logits[leaving].argmax(-1)
        exits[shown[leaving]] = state["timestep"][leaving]
        shown[leaving], previous = -1, logits
    return predictions, exits


def run(session, **values: np.ndarray) -> list[np.ndarray]:
    names = {given.name for given in session.get_inputs()}
    return session.run(None, {name: value for name, value in values.items() if name in names})


if __name__ == "__main__":
    import tempfile

    import backbones as bb
    from agents import Margin, export

    with tempfile.TemporaryDirectory() as name:
        folder = export(bb.load("digits"), Margin(0.7), name, num_slots=32)
        test = bb.load_dataset("digits").test
        predictions, exits = classify(folder, test.images / np.float32(255), make_keys(test.index))
    print(f"accuracy {100 * (predictions == test.labels).mean():.2f} %, mean timesteps {exits.mean():.3f}")
