"""Every argument of the data and network functions, in a dozen wrong kinds: taken, or refused by our own error."""

import inspect
import warnings

import numpy as np
import pytest
import torch

import agents
import backbones as bb
import seenn_env
from backbones.conversion import convert
from backbones.kinds import check_kinds
from backbones.training import TrainingConfig, train

WRONG = {
    "None": None,
    "text": "text",
    "-1": -1,
    "0": 0,
    "1.5": 1.5,
    "nan": float("nan"),
    "list": [],
    "dict": {},
    "object": object(),
    "array": np.zeros(3),
    "tensor": torch.ones(2, 2),
    "bytes": b"ab",
    "function": len,
    "True": True,
    "type": int,
}
SHAPE = {"num_classes": 10, "input_shape": (1, 8, 8), "width": 4}


def defaults(function):
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


@pytest.fixture(scope="module")
def functions(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    some, keys = digits.test.select(np.arange(8)), np.arange(8)
    network = bb.build("small", timesteps=2, **SHAPE)
    relu = bb.build("small", timesteps=1, neuron="relu", **SHAPE)
    bb.save(network, folder / "net.safetensors")
    tensor, shown = torch.from_numpy(some.images), {"backbone": network, "images": some.images, "keys": keys}
    quick = TrainingConfig(epochs=1, batch_size=1000)
    return {
        "load_dataset": (bb.load_dataset, {**defaults(bb.load_dataset), "name": "digits", "policy_size": 100}),
        "Samples": (bb.Samples, vars(some)),
        "select": (some.select, {"rows": np.arange(3)}),
        "check_fit": (bb.check_fit, {"samples": some, "num_classes": 10, "timesteps": 2, "sample_shape": (1, 8, 8)}),
        "load": (bb.load, {"path": folder / "net.safetensors", "device": "cpu"}),
        "save": (
            bb.save,
            {
                "backbone": network,
                "path": folder / "x.safetensors",
                "division": {"a": 1},
                "class_names": tuple("0123456789"),
            },
        ),
        "build": (bb.build, {**defaults(bb.build), "network": "small", "timesteps": 2, **SHAPE}),
        "start": (network.start, {"inputs": tensor, "keys": torch.arange(8)}),
        "run": (lambda **given: list(bb.run(**given)), {**shown, "shows": None, "batch_size": 4, "begins": None}),
        "accuracy": (bb.accuracy, {**shown, "labels": some.labels, "timesteps": 2}),
        "make_keys": (bb.make_keys, {"index": some.index, "repeat": 0}),
        "check_backbone": (bb.check_backbone, {"backbone": network, "inputs": tensor, "keys": torch.arange(8)}),
        "SlotPool": (bb.SlotPool, {"backbone": network, "num_slots": 2}),
        "EnergyModel": (bb.EnergyModel, defaults(bb.EnergyModel)),
        "Augmentation": (bb.Augmentation, defaults(bb.Augmentation)),
        "LIF": (bb.LIF, defaults(bb.LIF)),
        "IF": (bb.IF, defaults(bb.IF)),
        "optimize": (network.optimize, {"dtype": "float32", "calibration": some, "min_agreement": 0.5}),
        "convert": (convert, {**defaults(convert), "ann": relu, "images": tensor, "timesteps": 2}),
        "TrainingConfig": (TrainingConfig, defaults(TrainingConfig)),
        "train": (train, {"network": network, "splits": digits, "config": quick, "progress": False}),
        "record": (
            seenn_env.record,
            {**defaults(seenn_env.record), "backbone": network, "samples": some, "batch_size": 8},
        ),
        "classify": (
            agents.classify,
            {"inputs": some, "backbone": network, "policy": agents.Margin(0.5), "num_slots": 2, "dtype": "float32"},
        ),
    }


NAMES = [
    "load_dataset",
    "Samples",
    "select",
    "check_fit",
    "load",
    "save",
    "build",
    "start",
    "run",
    "accuracy",
    "make_keys",
    "check_backbone",
    "SlotPool",
    "EnergyModel",
    "Augmentation",
    "LIF",
    "IF",
    "optimize",
    "convert",
    "TrainingConfig",
    "train",
    "record",
    "classify",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_kind_of_argument_never_ends_in_somebody_elses_error(name, functions, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a "text" may be a path
    function, good = functions[name]
    bad = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for argument in good:
            for kind, wrong in WRONG.items():
                try:
                    function(**{**good, argument: wrong})
                except (bb.InputError, bb.BackboneError):
                    pass
                except Exception as error:
                    bad.append(f"{name}({argument}={kind}): {type(error).__name__}: {error}")
    assert not bad, "\n".join(bad)


def test_the_sentence_names_the_argument_what_was_expected_and_what_came():
    @check_kinds
    def look(images: np.ndarray, names: tuple[str, ...] = (), *, scale: float | None = None, count: int = 1) -> None:
        """Nothing."""

    look(torch.zeros(2), ["a"], scale=np.float32(1), count=np.int64(3))
    for wrong, message in (
        ({"count": "many"}, "Expected count to be a whole number, got 'many'."),
        ({"count": True}, "Expected count to be a whole number, got True."),
        ({"scale": "big"}, "Expected scale to be a number or None, got 'big'."),
        ({"scale": float("nan")}, "Expected scale to be a number or None, got nan."),
        ({"names": "abc"}, "Expected names to be a sequence, each a string, got 'abc'."),
        ({"images": [1]}, "Expected images to be an array, got a list."),
    ):
        with pytest.raises(bb.InputError) as refused:
            look(**{"images": np.zeros(2), **wrong})
        assert str(refused.value) == message
