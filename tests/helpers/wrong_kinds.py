"""A dozen kinds of value that an argument is not, and the walk that tries each of them."""

import dataclasses
import inspect
import re
import warnings

import numpy as np
import torch

import backbones as bb
from backbones.contract import BackboneError
from seenn_env.checking.results import VectorEnvError

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
    "function": lambda *given, **named: None,
    "True": True,
    "type": int,
}


def walked(functions):
    """The names whose arguments are walked: "Traces" for "Traces.load"."""
    return {re.split(r"\W", name)[0] for name in functions}


OWN = (bb.InputError, BackboneError, VectorEnvError)


def good(function, **given):
    """The arguments of a call that is right: the defaults, and those given."""
    parameters = inspect.signature(function).parameters.values()
    made = [field.name for field in dataclasses.fields(function)] if dataclasses.is_dataclass(function) else []
    known = {each.name: each.default for each in parameters if each.default is not each.empty}
    known = {name: value for name, value in known.items() if name not in made or repr(value) != "<factory>"}
    return function, {**known, **given}


def foreign_errors(name, function, arguments):
    """Errors of the function other than the project's own, over every argument in every wrong kind."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function(**arguments)  # the call itself is right
        for argument in arguments:
            for kind, wrong in WRONG.items():
                try:
                    function(**{**arguments, argument: wrong})
                except OWN:
                    pass
                except Exception as error:
                    found.append(f"{name}({argument}={kind}): {type(error).__name__}: {error}")
    return found
