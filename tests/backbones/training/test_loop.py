"""Training: losses against hand computations, learning, resuming."""

import io
import math
import multiprocessing
import pickle
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

import backbones as bb
from backbones.array_files import map_arrays, write_arrays
from backbones.networks import SpikingNetwork
from backbones.training.loop import TrainingConfig, train
from backbones.training.losses import mean_loss, tet_loss
from backbones.training.run_state import FORMAT, RunState


def test_tet_is_the_formula_of_the_paper_worked_out_by_hand():
    outputs = torch.tensor([[[0.0, 0.0]], [[math.log(3), 0.0]]])  # T = 2, B = 1, K = 2
    cross_entropy = (math.log(2) + math.log(4 / 3)) / 2
    distance = (1 + 1 + (math.log(3) - 1) ** 2 + 1) / 4
    loss = tet_loss(outputs, torch.tensor([0]), lamb=0.1, target=1.0)
    assert loss.item() == pytest.approx(0.9 * cross_entropy + 0.1 * distance)
    assert tet_loss(outputs, torch.tensor([0]), lamb=0).item() == pytest.approx(cross_entropy)


def test_the_mean_loss_is_the_cross_entropy_of_the_mean_output():
    outputs = torch.tensor([[[0.0, 0.0]], [[2 * math.log(3), 0.0]]])
    assert mean_loss(outputs, torch.tensor([0])).item() == pytest.approx(math.log(4 / 3))


def make(seed: int = 0) -> SpikingNetwork:
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


class Die:
    """Kills a run after some epochs."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def __call__(self, epoch) -> None:
        if epoch.number == self.epochs:
            raise KeyboardInterrupt


STAGED = TrainingConfig(
    stages=((1, 2, 0.1), (2, 2, 0.05)),
    optimizer="sgd",
    weight_decay=5e-4,
    ema=0.9,
    keep="best",
    crop=1,
    flip=True,
    cutout=3,
    precision="bfloat16",
    channels_last=True,
)


@pytest.mark.parametrize("config", [SHORT, STAGED])
def test_a_run_killed_after_any_epoch_ends_with_the_same_weights(digits, tmp_path, config):
    whole = make()
    result = train(whole, digits, config)
    for killed_after in (1, 3, 4):
        resume = tmp_path / f"{killed_after}.pt"
        with pytest.raises(KeyboardInterrupt):
            train(make(), digits, config, resume=resume, on_epoch=Die(killed_after))
        network = make()
        again = train(network, digits, config, resume=resume)
        assert network.fingerprint == whole.fingerprint
        assert np.array_equal(again.losses, result.losses)
        assert np.array_equal(again.accuracy, result.accuracy)
        assert resume.exists()  # until the network is saved, which is the caller's


def train_alone(path: str) -> None:
    """The training of a process of its own."""
    torch.set_num_threads(1)
    config = TrainingConfig(stages=((1, 3, 0.01), (2, 3, 0.005)), ema=0.9, crop=1, flip=True)
    network = bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), encoding="direct", width=4)
    train(network, bb.load_dataset("digits"), config, resume=path + ".pt")
    bb.save(network, path)


@pytest.mark.parametrize(
    ("runs", "kills"),
    [(1, 2), pytest.param(20, 1, marks=pytest.mark.slow)],  # 20 runs take minutes on a busy machine
)
def test_a_process_killed_at_random_moments_ends_with_the_same_weights(tmp_path, runs, kills):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["backbones.training.loop", "sklearn.datasets", __name__])

    def start(name: str):
        process = context.Process(target=train_alone, args=(str(tmp_path / name),))
        process.start()
        return process

    start("first").join()  # the server starts with it, and slowly
    began = time.perf_counter()
    start("whole").join()
    length = time.perf_counter() - began
    whole = (tmp_path / "whole").read_bytes()
    for run, moments in enumerate(np.random.default_rng(0).random((runs, kills)) * length):
        name = f"killed-{run}"
        for moment in moments:
            process = start(name)
            process.join(moment)
            process.kill()
            process.join()
        start(name).join()
        assert (tmp_path / name).read_bytes() == whole


def test_a_state_of_another_run_is_refused(digits, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(make(), digits, SHORT, resume=tmp_path / "a.pt", on_epoch=Die(1))
    before = (tmp_path / "a.pt").read_bytes()
    with pytest.raises(bb.InputError, match=r"a.pt to hold this run, but it holds one with other settings or samples"):
        train(make(seed=1), digits, SHORT, resume=tmp_path / "a.pt")
    changed = digits.train.images.copy()
    changed[7, 0, 3, 3] ^= 1
    other = replace(digits, train=replace(digits.train, images=changed))
    with pytest.raises(bb.InputError, match="with other settings or samples"):
        train(make(), other, SHORT, resume=tmp_path / "a.pt")
    assert (tmp_path / "a.pt").read_bytes() == before


@pytest.fixture(scope="module")
def state_file(digits, tmp_path_factory):
    """The state of a run after its first epoch."""
    file = tmp_path_factory.mktemp("state") / "a.pt"
    with pytest.raises(KeyboardInterrupt):
        train(make(), digits, SHORT, resume=file, on_epoch=Die(1))
    return file


def _spoil(state, name, value):
    """A part of a state (a first slot of the optimizer, all tensors of weights) with another value."""
    if name == "momentum":
        next(iter(state["optimizer"]["state"].values()))["exp_avg"] = value
    elif name == "lr":
        state["optimizer"]["param_groups"][0]["lr"] = value
    elif isinstance(value, float) and name in ("network", "best", "average"):
        weights = state["network"]
        state[name] = {key: each * value if each.is_floating_point() else each for key, each in weights.items()}
    elif value == "missing":
        del state[name]
    else:
        state[name] = value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, "missing")
            for name in ("run", "losses", "steps", "network", "average", "best", "optimizer", "schedule")
        ),
        ("losses", [math.nan]),
        ("losses", "ab"),
        ("losses", [1.0] * 99),
        ("steps", -1),
        ("steps", "x"),
        ("best_accuracy", 9.0),
        ("network", math.nan),
        ("network", None),
        ("best", math.nan),
        ("average", {"x": torch.ones(1)}),
        ("momentum", torch.ones(1)),
        ("lr", math.nan),
        ("optimizer", [1]),
        ("schedule", None),
    ],
)
def test_a_state_of_impossible_values_under_right_digests_is_refused(name, value, digits, state_file, tmp_path):
    arrays, metadata, _ = map_arrays(state_file, kind="a state")
    state = torch.load(io.BytesIO(arrays["state"].tobytes()), weights_only=True)
    _spoil(state, name, value)
    torch.save(state, buffer := io.BytesIO())
    write_arrays(tmp_path / "a.pt", {"state": np.frombuffer(buffer.getvalue(), np.uint8)}, metadata)
    with pytest.raises(bb.InputError, match=r"a\.pt"):
        train(make(), digits, SHORT, resume=tmp_path / "a.pt")


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps(print)])
def test_a_state_that_torch_cannot_read_is_refused(content, digits, tmp_path):
    write_arrays(tmp_path / "a.pt", {"state": np.frombuffer(content, np.uint8)}, {"format": FORMAT})
    with pytest.raises(bb.InputError, match=r"a\.pt to hold the state"):
        train(make(), digits, SHORT, resume=tmp_path / "a.pt")


def test_stages_that_have_not_begun_may_change_and_others_may_not(digits, tmp_path):
    longer = replace(STAGED, stages=((1, 2, 0.1), (2, 3, 0.02)))
    whole = make()
    train(whole, digits, longer)
    with pytest.raises(KeyboardInterrupt):
        train(make(), digits, STAGED, resume=tmp_path / "a.pt", on_epoch=Die(2))
    with pytest.raises(bb.InputError, match="holds one with other settings"):
        train(make(), digits, replace(STAGED, stages=((1, 3, 0.1),)), resume=tmp_path / "a.pt")
    network = make()
    train(network, digits, longer, resume=tmp_path / "a.pt")
    assert network.fingerprint == whole.fingerprint


def test_each_stage_runs_its_own_timesteps(digits):
    seen = []
    train(make(), digits, replace(STAGED, keep="last"), on_epoch=seen.append)
    assert [(epoch.number, epoch.timesteps, len(epoch.accuracy)) for epoch in seen] == [
        (1, 1, 1),
        (2, 1, 1),
        (3, 2, 2),
        (4, 2, 2),
    ]
    assert seen[0].learning_rate > seen[1].learning_rate
    assert str(seen[-1]).startswith("epoch 4  T=2  loss ")


def test_the_best_epoch_of_the_last_stage_is_kept(digits):
    seen = []
    result = train(make(), digits, STAGED, on_epoch=seen.append)
    assert result.accuracy[-1] == max(epoch.accuracy[-1] for epoch in seen[2:])


def test_the_average_follows_the_weights_with_its_decay():
    network = make()
    state = RunState(network, TrainingConfig(ema=0.5), "start")
    weight = network.head[-1].bias
    with torch.no_grad():
        for value in (1.0, 2.0, 4.0):
            weight.fill_(value)
            state.after_step()
    # Decays min(½, n/(n+9)): 1; 1 + 9/11·1; then + ¾·(4 - …).
    second = 1 + (9 / 11) * (2 - 1)
    assert state.average["head.2.bias"][0].item() == pytest.approx(second + 0.75 * (4 - second))
    with state.averaged():
        assert weight[0].item() == pytest.approx(second + 0.75 * (4 - second))
    assert weight[0].item() == 4


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
        ({"epochs": 0}, "epochs to be a whole number of 1 or more, got 0"),
        ({"optimizer": "lion"}, "optimizer, got 'lion'. Known: adamw, sgd"),
        ({"schedule": "step"}, "schedule, got 'step'. Known: cosine, onecycle"),
        ({"loss": "hinge"}, "loss, got 'hinge'. Known: mean, tet"),
        ({"precision": "float16"}, "precision, got 'float16'. Known: bfloat16, float32"),
        ({"keep": "all"}, "keep, got 'all'. Known: best, last"),
        ({"stages": ((1, 0, 0.1),)}, r"stages \(timesteps ≥ 1, epochs ≥ 1, rate > 0\), got \(1, 0, 0.1\)"),
        ({"learning_rate": -1.0}, "learning_rate to be a number above 0, got -1.0"),
        ({"weight_decay": -1.0}, "weight_decay to be a number of 0 or more, got -1.0"),
        ({"warmup": 2.0}, "warmup to be a number of 0 or more and of 1 or less, got 2.0"),
        ({"label_smoothing": 3.0}, "label_smoothing to be a number of 0 or more and of 1 or less, got 3.0"),
        ({"tet_lambda": 7.0}, "tet_lambda to be a number of 0 or more and of 1 or less, got 7.0"),
        ({"ema": 1.0}, "ema to be a number of 0 or more and below 1, got 1.0"),
        ({"cutout": -1}, "cutout to be a whole number of 0 or more, got -1"),
        ({"accumulate": 3}, "divide batch_size into parts of at least 2 images, got 3 and 64"),
        ({"distill_weight": 2.0}, "distill_weight to be a number of 0 or more and of 1 or less, got 2.0"),
        ({"mtt_samples": 0}, "mtt_samples to be a whole number of 1 or more, got 0"),
        ({"mixing": "all"}, "mixing.*got 'all'. Known: mtt, none, random-t"),
    ],
)
def test_bad_settings_are_one_sentence(settings, message):
    with pytest.raises(bb.InputError, match=message):
        TrainingConfig(**settings)


def test_a_stage_longer_than_the_network_is_refused(digits):
    with pytest.raises(bb.InputError, match="at most the network's 2 timesteps, got 4"):
        train(make(), digits, TrainingConfig(stages=((4, 1, 0.1),)))


def test_accumulated_parts_give_the_gradient_of_the_whole(digits):
    ends = []
    for accumulate in (1, 4):
        network = make().double()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
                module.train = lambda mode=True, module=module: module  # statistics of a part would differ
        samples = replace(digits, train=digits.train.select(slice(0, 64)))
        config = TrainingConfig(
            epochs=2, batch_size=32, accumulate=accumulate, optimizer="sgd", learning_rate=0.05, schedule="cosine"
        )
        train(network, samples, config)
        ends.append([weight.detach().clone() for weight in network.parameters()])
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
