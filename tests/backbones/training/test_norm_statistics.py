"""Statistics of the norms, estimated anew after training."""

import torch

import backbones as bb
from backbones.networks import SpikingNetwork
from backbones.training.norm_statistics import reestimate_norms

IMAGES = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
KEYS = torch.zeros(4, dtype=torch.int64)


def narrow(name: str, T: int = 4) -> SpikingNetwork:
    settings = {"num_classes": 5, "timesteps": T, "input_shape": (3, 16, 16), "width": 4, "mean": 0.5, "std": 0.25}
    return bb.build(name, **settings, neuron={"type": "lif", "v_threshold": 0.5}).double()


def test_statistics_estimated_anew_are_the_mean_over_the_batches():
    network = narrow("resnet9").eval()
    batches = [(IMAGES[:2], KEYS[:2]), (IMAGES[2:], KEYS[2:])]
    reestimate_norms(network, batches, 2)
    assert not network.training
    norm, conv = network.stem[1], network.stem[0]
    seen = [conv(network.normalised(images)) for images, _ in batches]
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0))
    assert norm.momentum == 0.1
