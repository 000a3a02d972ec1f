"""Training: losses against hand computations, learning, resuming."""

import math

import numpy as np
import pytest
import torch

import backbones as bb
from backbones.losses import mean_loss, tet_loss
from backbones.training import TrainingConfig, train


def test_tet_is_what_the_paper_says_worked_out_by_hand():
    outputs = torch.tensor([[[0.0, 0.0]], [[math.log(3), 0.0]]])  # T = 2, B = 1, K = 2
    cross_entropy = (math.log(2) + math.log(4 / 3)) / 2
    distance = (1 + 1 + (math.log(3) - 1) ** 2 + 1) / 4
    loss = tet_loss(outputs, torch.tensor([0]), lamb=0.1, target=1.0)
    assert loss.item() == pytest.approx(0.9 * cross_entropy + 0.1 * distance)
    assert tet_loss(outputs, torch.tensor([0]), lamb=0).item() == pytest.approx(cross_entropy)


def test_the_mean_loss_is_the_cross_entropy_of_the_mean_output():
    outputs = torch.tensor([[[0.0, 0.0]], [[2 * math.log(3), 0.0]]])
    assert mean_loss(outputs, torch.tensor([0])).item() == pytest.approx(math.log(4 / 3))


def make(seed: int = 0) -> bb.SpikingNetwork:
    return bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), encoding="poisson", width=4, seed=seed)


SHORT = TrainingConfig(epochs=4, learning_rate=1e-2)


@pytest.mark.parametrize(
    "config",
    [
        SHORT,
        TrainingConfig(epochs=4, optimizer="sgd", schedule="cosine", learning_rate=0.1, weight_decay=5e-4),
        TrainingConfig(epochs=4, loss="mean", learning_rate=1e-2, label_smoothing=0.1),
    ],
)
def test_training_learns_and_gives_the_network_back_frozen(digits, config):
    network = make()
    result = train(network, digits, config)
    assert not network.training
    assert result.losses[-1] < 0.8 * result.losses[0]
    assert result.accuracy.shape == (2,)
    assert result.accuracy[-1] > 0.5


def test_a_run_killed_after_any_epoch_ends_with_the_same_weights(digits, tmp_path, monkeypatch):
    from backbones import training

    whole = make()
    losses = train(whole, digits, SHORT).losses
    keep = training._keep
    for killed_after in (1, 2, 3):
        resume = tmp_path / f"{killed_after}.pt"

        def keep_and_die(*arguments, killed_after=killed_after):
            keep(*arguments)
            if len(arguments[2]) == killed_after:
                raise KeyboardInterrupt

        monkeypatch.setattr(training, "_keep", keep_and_die)
        with pytest.raises(KeyboardInterrupt):
            train(make(), digits, SHORT, resume=resume)
        monkeypatch.setattr(training, "_keep", keep)
        network = make()
        again = train(network, digits, SHORT, resume=resume)
        assert network.fingerprint == whole.fingerprint
        assert np.array_equal(again.losses, losses)
        assert not resume.exists()


def test_a_state_of_another_run_is_refused(digits, tmp_path, monkeypatch):
    from backbones import training

    keep = training._keep

    def keep_and_die(*arguments):
        keep(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_keep", keep_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(make(), digits, SHORT, resume=tmp_path / "a.pt")
    with pytest.raises(bb.InputError, match="holds one with other settings"):
        train(make(seed=1), digits, SHORT, resume=tmp_path / "a.pt")


def test_accuracy_at_every_timestep_is_in_tensorboard(digits, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(make(), digits, TrainingConfig(epochs=1), log_dir=tmp_path)
    log = EventAccumulator(str(tmp_path))
    log.Reload()
    keys = {"train/loss", "train/learning_rate", "calibration/accuracy_t1", "calibration/accuracy_t2"}
    assert keys <= set(log.Tags()["scalars"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs ≥ 1 and batch_size ≥ 2, got 0 and 64"),
        ({"optimizer": "lion"}, "optimizer, got 'lion'. Known: adamw, sgd"),
        ({"schedule": "step"}, "schedule, got 'step'. Known: cosine, onecycle"),
        ({"loss": "hinge"}, "loss, got 'hinge'. Known: mean, tet"),
    ],
)
def test_bad_settings_are_one_sentence(settings, message):
    with pytest.raises(bb.InputError, match=message):
        TrainingConfig(**settings)
