"""Two processes that share every step train as one process with twice the batch."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import backbones as bb
from backbones.networks import SpikingNetwork
from backbones.training.loop import TrainingConfig, train
from tests.helpers.programs import start_two

CONFIG = TrainingConfig(
    epochs=2,
    batch_size=32,
    optimizer="sgd",
    learning_rate=0.05,
    crop=1,
    flip=True,
    ema=0.9,
)


def train_here(config: TrainingConfig, norm: str = "tdbn") -> tuple[SpikingNetwork, np.ndarray]:
    torch.set_num_threads(1)
    splits = bb.load_dataset("digits")
    splits = replace(splits, train=splits.train.select(slice(0, 128)))
    settings = {"num_classes": 10, "timesteps": 2, "input_shape": (1, 8, 8), "width": 4, "norm": norm}
    network = bb.build("resnet9", **settings, neuron={"type": "lif", "v_threshold": 0.5}).double()
    result = train(network, splits, config)
    return network, result.losses


@pytest.fixture(scope="module")
def trained_in_two(tmp_path_factory) -> Path:
    """A folder of weights and losses, `KIND-RANK`, of two processes; both kinds in one start."""
    folder = tmp_path_factory.mktemp("two")
    for process in start_two(__file__, folder):
        _, errors = process.communicate(timeout=500)
        assert process.returncode == 0, errors
    return folder


def weights_of(folder: Path, kind: str) -> list[dict]:
    return [torch.load(folder / f"{kind}-{rank}", weights_only=True) for rank in range(2)]


def test_losses_and_weights_in_float64_are_those_of_one_process(trained_in_two):
    weights = weights_of(trained_in_two, "common")
    network, losses = train_here(replace(CONFIG, batch_size=2 * CONFIG.batch_size))
    for saved in weights:
        np.testing.assert_allclose(json.loads(saved.pop("losses")), losses, rtol=1e-9)
    own = network.state_dict()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in own)
    for name, value in own.items():
        if value.is_floating_point() and "running" not in name:
            torch.testing.assert_close(weights[0][name], value, rtol=1e-7, atol=1e-9)


def test_processes_that_normalise_by_their_own_images_end_with_one_network(trained_in_two):
    first, second = weights_of(trained_in_two, "own")
    assert all(
        torch.equal(torch.as_tensor(first[name]), torch.as_tensor(second[name])) for name in first.keys() - {"losses"}
    )
    assert first["losses"] == second["losses"]
    assert np.isfinite(json.loads(first["losses"])).all()
    means = first["body.stages.0.norm.running_mean"]
    assert means.shape[0] == 2
    assert not torch.allclose(means[0], means[1])


if __name__ == "__main__":
    for own, norm in ((False, "tdbn"), (True, "tdbn-per-timestep")):
        trained, found = train_here(replace(CONFIG, own_statistics=own), norm)
        file = Path(sys.argv[1]) / f"{'own' if own else 'common'}-{os.environ['RANK']}"
        torch.save({**trained.state_dict(), "losses": json.dumps(found.tolist())}, file)
