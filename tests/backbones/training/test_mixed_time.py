"""Random timesteps, and timesteps mixed between stages."""

import numpy as np
import pytest
import torch

import backbones as bb
from backbones.networks import SpikingNetwork
from backbones.training.loop import TrainingConfig, train
from backbones.training.mixed_time import change_time, draw_times, draw_timesteps, forward_mixed, groups, stage_heads

IMAGES = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
KEYS = torch.zeros(4, dtype=torch.int64)


def make(seed: int = 0, timesteps: int = 3) -> SpikingNetwork:
    return bb.build("small", num_classes=10, timesteps=timesteps, input_shape=(1, 8, 8), width=4, seed=seed)


def narrow(name: str, T: int = 4) -> SpikingNetwork:
    settings = {"num_classes": 5, "timesteps": T, "input_shape": (3, 16, 16), "width": 4, "mean": 0.5, "std": 0.25}
    return bb.build(name, **settings, neuron={"type": "lif", "v_threshold": 0.5}).double()


def test_timesteps_are_drawn_from_seed_and_step_alone():
    drawn = [draw_timesteps(4, seed=1, step=step) for step in range(400)]
    assert drawn == [draw_timesteps(4, seed=1, step=step) for step in range(400)]
    assert drawn != [draw_timesteps(4, seed=2, step=step) for step in range(400)]
    counts = np.bincount(drawn, minlength=5)
    assert counts[0] == 0
    assert counts[1:].min() > 60
    times = draw_times(8, 6, seed=0, step=3, sample=1)
    assert times == draw_times(8, 6, seed=0, step=3, sample=1) != draw_times(8, 6, seed=0, step=3, sample=2)
    assert all(1 <= T <= 6 for T in times)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (4, 2, [[0, 1], [2, 3]]),
        (2, 4, [[0], [0], [1], [1]]),
        (3, 1, [[0, 1, 2]]),
        (1, 3, [[0], [0], [0]]),
        (5, 2, [[0, 1], [2, 3, 4]]),  # the half way between is rounded down
        (2, 5, [[0], [0], [1], [1], [1]]),
        (5, 3, [[0, 1], [2], [3, 4]]),
    ],
)
def test_neighbouring_timesteps_are_added_up_or_repeated(before, after, expected):
    assert groups(before, after) == expected
    steps = torch.arange(before * 2.0).view(before, 2)
    out = change_time(steps.reshape(before * 2, 1), before, after).view(after, 2)
    assert torch.equal(out, torch.stack([steps[group].sum(0) for group in expected]))


@pytest.mark.parametrize(("name", "stages"), [("resnet19", 8), ("resnet9", 3), ("vgg11", 8)])
def test_stages_are_blocks_or_convolutions(name, stages):
    assert len(stage_heads(narrow(name))) + 1 == stages


@pytest.mark.parametrize("name", ["resnet19", "resnet9", "vgg11"])
def test_equal_timesteps_everywhere_are_the_plain_pass(name):
    network = narrow(name)
    stages = len(stage_heads(network)) + 1
    assert torch.equal(forward_mixed(network, IMAGES, KEYS, [3] * stages), network(IMAGES, timesteps=3))
    times = [1 + i % 3 for i in range(stages)]
    outputs = forward_mixed(network.train(), IMAGES, KEYS, times)
    assert outputs.shape == (times[-1], 4, 5)
    outputs.square().sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    with pytest.raises(bb.InputError, match=f"timesteps of {stages} stages, got 1"):
        forward_mixed(network, IMAGES, KEYS, [1])


def test_a_mixed_pass_is_that_of_its_parts():
    network = bb.build("small", num_classes=5, timesteps=4, input_shape=(3, 16, 16), width=4).double()
    found = forward_mixed(network, IMAGES, KEYS, [4, 2])
    current = network.stem(network.normalised(IMAGES))
    v, spikes = torch.zeros_like(current), []
    for _ in range(4):
        fired, v = network.body.first(current, v)
        spikes.append(fired)
    v, outputs = None, []
    for pair in (spikes[0] + spikes[1], spikes[2] + spikes[3]):
        now = network.body.norm(network.body.conv(pair))
        fired, v = network.body.second(now, torch.zeros_like(now) if v is None else v)
        outputs.append(network.head(fired))
    torch.testing.assert_close(found, torch.stack(outputs))


@pytest.mark.parametrize("mixing", ["random-t", "mtt"])
def test_a_network_learns_with_random_timesteps_and_resumes(digits, tmp_path, mixing):
    config = TrainingConfig(epochs=3, learning_rate=1e-2, mixing=mixing, mtt_samples=2, reestimate=2, loss="mean")
    whole, killed = make(), make()
    result = train(whole, digits, config)
    assert result.losses[-1] < result.losses[0]
    assert result.accuracy[-1] > 0.4

    def stop(epoch) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(killed, digits, config, resume=tmp_path / "a.pt", on_epoch=stop)
    again = make()
    train(again, digits, config, resume=tmp_path / "a.pt")
    assert again.fingerprint == whole.fingerprint
