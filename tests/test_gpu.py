"""The same answers on a GPU as on a CPU. GPU_TESTS_ON=cpu runs the same tests on the CPU."""

import os

import numpy as np
import pytest
import torch

import backbones as bb
from backbones.contract.keys import make_keys
from backbones.contract.running import run
from backbones.data import SPLITS
from backbones.energy import Metered
from backbones.networks import SpikingNetwork
from backbones.networks.kernels.neuron_over_time import fire_over_time
from backbones.networks.norms import TimestepBatchNorm2d, TimestepScale
from backbones.training.loop import TrainingConfig, train

DEVICE = os.environ.get("GPU_TESTS_ON", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs CUDA"),
]


@pytest.fixture(autouse=True)
def exact_float32():
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def small_resnet(**settings) -> SpikingNetwork:
    settings = {"timesteps": 4, "width": 16, "input_shape": (3, 16, 16), "norm": "tdbn-per-timestep", **settings}
    network = bb.build("resnet9", num_classes=10, **settings).train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # statistics of currents that fire
        for _ in range(3):
            network(torch.rand(32, 3, 16, 16, generator=generator))
    return network.eval()


def pictures(count: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(count, 3, 16, 16), dtype=np.uint8)


def logits_of(backbone: bb.Backbone, images: np.ndarray, batch_size: int = 32) -> np.ndarray:
    parts = run(backbone, images, make_keys(np.arange(len(images))), batch_size=batch_size)
    return np.concatenate([logits.float().cpu().numpy() for _, logits in parts])


def mostly_equal(one: np.ndarray, other: np.ndarray, share: float = 0.9) -> bool:
    """Rows of logits that agree closely; a rounding may flip a spike in the others."""
    close = np.abs(one - other).reshape(len(one), -1).max(1) < 1e-3 * max(1.0, float(np.abs(one).max()))
    return bool(close.mean() >= share)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("settings", [{}, {"v_reset": None}, {"decay": 1.0, "v_reset": None, "v_init": 0.5}])
def test_spikes_and_gradients_over_time_are_those_of_a_cpu(static, settings):
    neuron = bb.LIF(**settings)
    for T in (1, 4):
        current = torch.randn(8 if static else 8 * T, 16, 9, 9, generator=torch.Generator().manual_seed(T))
        upstream = torch.randn(8 * T, 16, 9, 9, generator=torch.Generator().manual_seed(9))
        found = []
        for device in ("cpu", DEVICE):
            x = current.to(device).contiguous(memory_format=torch.channels_last).requires_grad_()
            spikes = fire_over_time(neuron, x, T, static=static)
            (spikes * upstream.to(device)).sum().backward()
            found.append((spikes.detach().cpu(), x.grad.cpu()))
        (spikes, gradient), (spikes_there, gradient_there) = found
        assert 0.05 < spikes.mean() < 0.9
        assert (spikes != spikes_there).float().mean() < 1e-4
        assert ((gradient - gradient_there).abs() > 1e-4).float().mean() < 1e-3


def test_a_spiking_layer_in_bfloat16_fires_as_in_float32_of_the_same_currents():
    neuron, current = bb.LIF(), torch.randn(16, 64, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    spikes = fire_over_time(neuron, current.to(DEVICE), 4)
    assert spikes.dtype == torch.bfloat16
    torch.testing.assert_close(spikes.float().cpu(), fire_over_time(neuron, current.float(), 4))


def test_norms_per_timestep_are_those_of_a_cpu_trained_and_folded():
    x = torch.randn(12, 8, 5, 5, generator=torch.Generator().manual_seed(0))
    here, there = TimestepBatchNorm2d(8, 3).train(), TimestepBatchNorm2d(8, 3).train().to(DEVICE)
    when = torch.arange(3).repeat_interleave(4)
    here.clock.set(when, 3)
    there.clock.set(when.to(DEVICE), 3)
    torch.testing.assert_close(here(x), there(x.to(DEVICE)).cpu(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(here.running_var, there.running_var.cpu(), rtol=1e-4, atol=1e-4)
    scale, scale_there = TimestepScale(here.eval()), TimestepScale(there.eval()).to(DEVICE)
    scale.clock.set(when)
    scale_there.clock.set(when.to(DEVICE))
    torch.testing.assert_close(scale(x.clone()), scale_there(x.to(DEVICE)).cpu(), rtol=1e-4, atol=1e-4)


def test_the_inference_form_answers_as_the_plain_network():
    network, images = small_resnet(), pictures()
    plain = logits_of(network, images)
    assert mostly_equal(plain, logits_of(network.to(DEVICE), images))
    assert mostly_equal(plain, logits_of(network.optimize(), images))


def test_a_form_made_on_the_cpu_is_made_anew_on_another_device():
    network, images = small_resnet(), pictures()
    form = network.optimize(winograd=True)
    there = form.to(DEVICE)
    assert there.device.type == DEVICE
    if DEVICE != "cpu":
        assert "winograd" not in there.form
    assert mostly_equal(logits_of(network, images), logits_of(there, images))


@pytest.mark.parametrize("compile", [False, True])
def test_bfloat16_answers_nearly_as_well(compile):
    network, images = small_resnet().to(DEVICE), pictures()
    fast = network.optimize(dtype="bfloat16", min_agreement=None, compile=compile)
    before, after = logits_of(network, images), logits_of(fast, images)
    assert np.isfinite(after).all()
    assert (before.argmax(-1) == after.argmax(-1)).mean() > 0.7


@pytest.mark.parametrize("form", ["plain", "inference"])
def test_a_slot_pool_with_refills_gives_the_logits_of_whole_runs(form):
    network, images = small_resnet().to(DEVICE), pictures(40)
    backbone = network.optimize() if form == "inference" else network
    wanted = logits_of(backbone, images, batch_size=8)
    pool, keys, rng = bb.SlotPool(backbone, 8), make_keys(np.arange(40)), np.random.default_rng(0)
    shown, given = np.arange(8), 8
    pool.refill(shown, images[:8], keys[:8])
    seen, close = 0, 0
    while given < 40:
        logits = pool.step().float().cpu().numpy()
        expected = wanted[shown, pool.timestep - 1]
        seen, close = seen + 8, close + int((np.abs(logits - expected).max(1) < 1e-3).sum())
        rows = np.flatnonzero((rng.random(8) < 0.4) | (pool.timestep == 4))[: 40 - given]
        pool.refill(rows, images[given : given + len(rows)], keys[given : given + len(rows)])
        shown[rows] = np.arange(given, given + len(rows))
        given += len(rows)
    assert close >= 0.9 * seen


def test_classifying_on_the_device_gives_the_answers_of_the_recording(tmp_path):
    pytest.importorskip("gymnasium")
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("tyro")
    import agents
    import seenn_env

    network, images = small_resnet(), pictures(96)
    names = tuple(str(k) for k in range(10))
    samples = bb.Samples(images, np.zeros(96, np.int64), np.arange(96), names, "pictures", "calibration")
    rule = agents.Confidence(0.3)
    form = network.optimize()
    traces = seenn_env.record(form.to(DEVICE), samples, tmp_path / "traces.safetensors", batch_size=32)
    exits = seenn_env.evaluate(rule, traces)
    found = agents.classify(images, network.optimize(), rule, num_slots=32, device=DEVICE)
    assert abs(found.mean_timesteps - exits.mean_timesteps) < 0.05
    predictions = np.asarray(traces.logits).argmax(-1)[np.arange(96), found.timesteps - 1]
    assert (found.predictions == predictions).mean() > 0.9


def test_operations_are_counted_as_on_a_cpu():
    network, images = small_resnet(), torch.from_numpy(pictures(8))
    totals = []
    for device in ("cpu", DEVICE):
        metered = Metered(network.to(device))
        state = metered.start(images)
        for _ in range(4):
            _, state = metered.step(state)
        totals.append(state.operations.counts.sum(0).double().cpu())
    assert (totals[0][:3] > 0).all()
    torch.testing.assert_close(totals[0], totals[1], rtol=0.02, atol=0)


def test_training_starts_with_the_losses_of_a_cpu(digits):
    few = digits.train.select(slice(0, 64))
    splits = bb.Splits(few, *(digits[name].select(slice(0, 20)) for name in SPLITS[1:]))
    config = TrainingConfig(epochs=2, batch_size=16, learning_rate=1e-3, crop=1, channels_last=True)
    losses = []
    for device in ("cpu", DEVICE):
        network = bb.build("resnet9", num_classes=10, timesteps=3, width=8, input_shape=(1, 8, 8), seed=0)
        losses.append(train(network.to(device), splits, config).losses)
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.03)
    mixed = TrainingConfig(epochs=1, batch_size=16, learning_rate=1e-3, precision="bfloat16")
    network = bb.build("resnet9", num_classes=10, timesteps=3, width=8, input_shape=(1, 8, 8), seed=0).to(DEVICE)
    np.testing.assert_allclose(train(network, splits, mixed).losses[0], losses[0][0], rtol=0.1)
