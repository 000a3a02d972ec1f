"""Every argument of the backbones' functions, in a dozen wrong kinds: taken, or refused by the project's own error."""

import numpy as np
import pytest
import torch
from torch import nn

import backbones as bb
from backbones.adapters import wrap
from backbones.argument_checks import Natural, check_kinds
from backbones.contract import accuracy, check_images, make_keys, probe, probe_sizes, run, run_probed
from backbones.conversion.converter import convert
from backbones.data import SPLITS, Augmentation, check_fit, save_frames
from backbones.energy import EnergyModel, Metered, count_operations
from backbones.machine import ProcessGroup, process_group, torch_threads
from backbones.networks import IF, InferenceNetwork
from backbones.tensor_files import load_tensor_file, save_tensor_file
from backbones.training.loop import TrainingConfig, train
from tests.helpers.wrong_kinds import foreign_errors, fuzzed, good, methods, walked

GIVEN = {"Backbone", "InputError"}
"""A protocol, and the error itself."""

SHAPE = {"num_classes": 10, "input_shape": (1, 8, 8), "width": 4}


class Plain(nn.Module):
    """A spiking network of plain torch."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, images, state):
        state = self.head(images.flatten(1)) + (0 if state is None else 0.5 * state)
        return (state > 0.1).float(), state


def inside(function):
    """The function's context manager, entered."""

    def entered(**given):
        with function(**given):
            pass

    return entered


@pytest.fixture(scope="module")
def functions(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    some, keys = digits.test.select(np.arange(8)), np.arange(8)
    low = {"type": "lif", "v_threshold": 0.1}  # it shall spike without training
    network = bb.build("small", timesteps=2, neuron=low, **SHAPE)
    relu = bb.build("small", timesteps=1, neuron="relu", **SHAPE)
    bb.save(network, folder / "net.safetensors")
    tensor, shown = torch.from_numpy(some.images), {"backbone": network, "images": some.images, "keys": keys}
    quick = TrainingConfig(epochs=1, batch_size=32)
    few = bb.Splits(**{name: digits[name].select(np.arange(32)) for name in SPLITS})

    def filled():
        pool = bb.SlotPool(network, 2)
        pool.refill([0, 1], some.images[:2])
        pool.step()
        return pool

    shown_again = {"inputs": tensor[:1], "keys": torch.arange(1), "rows": torch.arange(1)}
    pooled = {"inputs": some.images[:2], "keys": keys[:2], "rows": [0, 1], "names": ("hidden",)}
    fast, metered = network.optimize(), Metered(network)
    adapted = wrap(Plain().eval(), tensor, timesteps=2, framework="torch")

    def methods_of(name, each):
        return methods(name, lambda: each, state=each.step(each.start(tensor))[1], device="cpu", **shown_again)

    return {
        **methods_of("build", network),
        **methods_of("optimize", fast),
        **methods_of("Metered", metered),
        **methods_of("wrap", adapted),
        **methods("SlotPool", filled, **pooled),
        **methods("Samples", lambda: some, rows=np.arange(3), count=3),
        "load_dataset": (bb.load_dataset, {**good(bb.load_dataset)[1], "name": "digits", "policy_size": 100}),
        "Samples": (bb.Samples, vars(some)),
        "check_fit": (check_fit, {"samples": some, "num_classes": 10, "timesteps": 2, "sample_shape": (1, 8, 8)}),
        "load": (bb.load, {"path": folder / "net.safetensors", "device": "cpu"}),
        "save": (
            bb.save,
            {
                "backbone": network,
                "path": folder / "x.safetensors",
                "division": {"dataset": "digits", "seed": 0, "sizes": {"train": 1}},
                "class_names": tuple("0123456789"),
            },
        ),
        "build": (bb.build, {**good(bb.build)[1], "network": "small", "timesteps": 2, **SHAPE}),
        "run": (lambda **given: list(run(**given)), {**shown, "shows": None, "batch_size": 4, "begins": None}),
        "accuracy": (accuracy, {**shown, "labels": some.labels, "timesteps": 2}),
        "make_keys": (make_keys, {"index": some.index, "repeat": 0}),
        "check_backbone": (bb.check_backbone, {"backbone": network, "inputs": tensor, "keys": torch.arange(8)}),
        "SlotPool": (bb.SlotPool, {"backbone": network, "num_slots": 2}),
        "run_probed": (lambda **given: list(run_probed(**given)), {**shown, "probes": ("hidden",), "batch_size": 4}),
        "probe": (
            lambda names: probe(network, network.step(network.start(tensor))[1], names),
            {"names": ("hidden",)},
        ),
        "probe_sizes": good(probe_sizes, backbone=network, images=some.images),
        "check_images": good(check_images, images=some.images),
        "Splits": (bb.Splits, {name: digits[name] for name in SPLITS}),
        "Splits[]": (digits.__getitem__, {"name": "test"}),
        "Augmentation.repeats": (Augmentation().repeats, {"samples": some, "count": 2}),
        "InferenceNetwork": (
            lambda **given: InferenceNetwork(**given, compile=False),  # which takes seconds
            {"network": network, "dtype": "float32", "channels_last": False, "winograd": False},
        ),
        "Metered": (Metered, {"backbone": network}),
        "count_operations": (inside(count_operations), {"network": network}),
        "ProcessGroup": good(ProcessGroup),
        "process_group": (inside(process_group), good(process_group)[1]),
        "torch_threads": (inside(torch_threads), {"count": 1}),
        "save_tensor_file": (
            save_tensor_file,
            {"path": "x.safetensors", "tensors": {"a": tensor}, "metadata": {"format": "x"}},
        ),
        "load_tensor_file": (
            load_tensor_file,
            {"path": folder / "net.safetensors", "kind": "a backbone", "format": "seenn_env.backbone/2"},
        ),
        "wrap": good(wrap, module=Plain().eval(), example_inputs=tensor, timesteps=2, framework="torch"),
        "save_frames": good(
            save_frames, path=folder / "frames.npz", frames=np.ones((4, 2, 1, 2, 2), np.uint8), labels=[0, 1, 0, 1]
        ),
        "EnergyModel": (EnergyModel, good(EnergyModel)[1]),
        "Augmentation": (Augmentation, good(Augmentation)[1]),
        "LIF": (bb.LIF, good(bb.LIF)[1]),
        "IF": (IF, good(IF)[1]),
        "optimize": (
            network.optimize,
            {"dtype": "float32", "calibration": digits.calibration.select(keys), "min_agreement": 0.5},
        ),
        "convert": (convert, {**good(convert)[1], "ann": relu, "images": tensor, "timesteps": 2}),
        "TrainingConfig": (TrainingConfig, good(TrainingConfig)[1]),
        "train": (train, {"network": network, "splits": few, "config": quick, "progress": False}),
    }


def test_a_wrong_kind_of_argument_never_ends_in_somebody_elses_error(functions, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a "text" may be a path
    found = [error for name, call in functions.items() for error in foreign_errors(name, *call)]
    assert not found, "\n".join(found)


def test_every_name_at_the_door_is_walked(functions):
    assert set(bb.__all__) - walked(functions) == GIVEN


def test_the_sentence_names_the_argument_its_kind_and_the_value():
    @check_kinds
    def look(
        images: np.ndarray,
        names: tuple[str, ...] = (),
        *,
        scale: float | None = None,
        count: int = 1,
        seed: Natural = 0,
    ) -> None:
        """Nothing."""

    look(torch.zeros(2), ["a"], scale=np.float32(1), count=np.int64(3))
    for wrong, message in (
        ({"count": "many"}, "Expected count to be a whole number, got 'many'."),
        ({"count": True}, "Expected count to be a whole number, got True."),
        ({"seed": -1}, "Expected seed to be a whole number of 0 or more, got -1."),
        ({"scale": "big"}, "Expected scale to be a number or None, got 'big'."),
        ({"scale": 10**400}, "Expected scale to be a number or None, got one of more than 64 bits."),
        ({"scale": float("nan")}, "Expected scale to be a number or None, got nan."),
        ({"names": "abc"}, "Expected names to be a sequence, each a string, got 'abc'."),
        ({"images": [1]}, "Expected images to be an array, got a list."),
    ):
        with pytest.raises(bb.InputError) as refused:
            look(**{"images": np.zeros(2), **wrong})
        assert str(refused.value) == message


@pytest.mark.parametrize("examples", [100, pytest.param(3400, marks=pytest.mark.slow)])
def test_calls_of_random_values_end_in_an_answer_or_a_sentence(functions, examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = fuzzed(functions, examples)
    assert not found, "\n".join(found)
