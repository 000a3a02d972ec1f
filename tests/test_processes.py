"""Two processes that share every step do what one does with twice the batch."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import torch

import backbones as bb
from backbones.training import TrainingConfig, train

CONFIG = TrainingConfig(
    epochs=3,
    batch_size=32,
    optimizer="sgd",
    learning_rate=0.05,
    crop=1,
    flip=True,
    ema=0.9,
)


def train_here(config: TrainingConfig) -> tuple[bb.SpikingNetwork, np.ndarray]:
    torch.set_num_threads(1)
    splits = bb.load_dataset("digits")
    splits = replace(splits, train=splits.train.select(slice(0, 192)))
    settings = {"num_classes": 10, "timesteps": 2, "input_shape": (1, 8, 8), "width": 4}
    network = bb.build("resnet9", **settings, neuron={"type": "lif", "v_threshold": 0.5}).double()
    result = train(network, splits, config)
    return network, result.losses


def test_losses_and_weights_in_float64_are_those_of_one_process(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = [
        subprocess.Popen([sys.executable, __file__, str(tmp_path / str(rank))], env={**environment, "RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait(500) for process in processes] == [0, 0]
    network, losses = train_here(replace(CONFIG, batch_size=2 * CONFIG.batch_size))
    weights = []
    for rank in range(2):
        saved = torch.load(tmp_path / str(rank), weights_only=True)
        np.testing.assert_allclose(json.loads(saved.pop("losses")), losses, rtol=1e-9)
        weights.append(saved)
    own = network.state_dict()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in own)
    for name, value in own.items():
        if value.is_floating_point() and "running" not in name:
            torch.testing.assert_close(weights[0][name], value, rtol=1e-7, atol=1e-9)


if __name__ == "__main__":
    trained, found = train_here(CONFIG)
    torch.save({**trained.state_dict(), "losses": json.dumps(found.tolist())}, sys.argv[1])
