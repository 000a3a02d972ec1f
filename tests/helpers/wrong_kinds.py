"""A dozen kinds of value that an argument is not, the walk that tries each of them, and calls of random values."""

import dataclasses
import inspect
import re
import traceback
import warnings

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

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


NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.sampled_from([2**64, -(2**70), 1e300, -1e-320, 65504.0, float("inf"), float("nan")]),
    st.floats(-2, 70),
)
LEAVES = st.one_of(
    NUMBERS,
    NUMBERS.map(np.float32),
    st.none() | st.booleans() | st.text(max_size=5) | st.binary(max_size=3),
    st.sampled_from(["features", "logits", "policy", "test", "linear", "float16", "cpu", "exact", "hidden"]),
    arrays.arrays(
        st.sampled_from(["f4", "f2", "f8", "i8", "u1", "?", "U2", "O"]),
        arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5),
    ),
    arrays.arrays(st.sampled_from(["f4", "f2", "i8", "u1"]), arrays.array_shapes(max_side=4)).map(torch.from_numpy),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


def fuzzed(functions, examples):
    """Errors other than the project's own in one sentence, over calls with up to three random arguments each."""
    found = {}

    @settings(max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=HealthCheck)
    @given(st.data())
    def call(data):
        name = data.draw(st.sampled_from(sorted(functions)))
        function, arguments = functions[name]
        some = st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=3, unique=True)
        changed = {argument: data.draw(VALUES) for argument in data.draw(some)}
        try:
            function(**{**arguments, **changed})
        except OWN as error:
            if not str(error) or "\n" in str(error):
                found[name, "sentence"] = f"{name}({changed!r}): {error}"
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            found[name, place.filename, place.lineno] = f"{name}({changed!r}): {type(error).__name__}: {error}"

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        call()
    return list(found.values())
