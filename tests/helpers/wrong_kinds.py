"""A dozen kinds of value that an argument is not, the walk that tries each of them, and calls of random values."""

import dataclasses
import inspect
import re
import traceback
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import agents
import backbones as bb
import seenn_env
from backbones.contract import BackboneError
from seenn_env import Traces
from seenn_env.checking.results import VectorEnvError
from tests.helpers.recorded import few_samples, full_traces, small_backbone
from tests.helpers.searches import repeatable
from tests.helpers.traces import make_traces, own_columns, trivial

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


PACKAGES = ("backbones", "seenn_env", "agents")
INTERNAL = re.compile(r"__init__|make_dynamics| at 0x|<class|\b_\w+\(")
"""In a sentence for the user: names of things that the user did not write."""

OWN = (bb.InputError, BackboneError, VectorEnvError)


def good(function, **given):
    """The arguments of a call that is right: the defaults, and those given."""
    parameters = inspect.signature(function).parameters.values()
    made = [field.name for field in dataclasses.fields(function)] if dataclasses.is_dataclass(function) else []
    known = {each.name: each.default for each in parameters if each.default is not each.empty}
    known = {name: value for name, value in known.items() if name not in made or repr(value) != "<factory>"}
    return function, {**known, **given}


def problem(function, arguments):
    """The place and the text of an error, unless it is the project's own in one sentence, or SB3's of an attribute."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)  # of NumPy
            function(**arguments)
    except Exception as error:
        text = str(error)
        if isinstance(error, OWN) and "\n" not in text and text.endswith((".", "?")) and not INTERNAL.search(text):
            return None
        asked = (arguments.get("attr_name"), arguments.get("method_name"))
        if isinstance(error, AttributeError) and error.name is not None and error.name in asked:
            return None
        if "method_name" in arguments and isinstance(error, TypeError):
            return None  # of the method that env_method calls
        place = traceback.extract_tb(error.__traceback__)[-1]
        return (place.filename, place.lineno), f"{type(error).__name__}: {error}"
    return None


def foreign_errors(name, function, arguments):
    """Errors of the function other than the project's own, over every argument in every wrong kind."""
    function(**arguments)  # the call itself is right
    tried = [(argument, kind) for argument in arguments for kind in WRONG]
    found = {each: problem(function, {**arguments, each[0]: WRONG[each[1]]}) for each in tried}
    return [f"{name}({argument}={kind}): {error[1]}" for (argument, kind), error in found.items() if error]


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


PLUMBING = {"current", "final_infos", "prepared", "of_prepared", "from_tensors", "normalised", "forward", "variants"}
PLUMBING |= {"score", "score_step", "trace_scores", "score_module", "chances", "inputs", "p_values", "of_first"}
PLUMBING |= {"name_episodes"}
"""Methods that other parts of this project call."""


def methods(name, make, **known):
    """The calls "name.method" of all public methods that this project gives to what `make` returns, made anew each."""
    calls, kind = {}, type(make())
    parts = {part for base in kind.__mro__ if base.__module__.split(".")[0] in PACKAGES for part in vars(base)}
    for part in sorted(parts - PLUMBING):
        if (part[0] != "_" or part == "__call__") and callable(getattr(kind, part)):
            parameters = inspect.signature(getattr(make(), part)).parameters.values()
            plain = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
            given = {each.name: known.get(each.name, each.default) for each in plain}
            missing = [each for each, value in given.items() if value is inspect.Parameter.empty]
            assert not missing, f"{name}.{part} takes {missing}: give them to methods()"
            if given:
                calls[f"{name}.{part}"] = (lambda part=part, **given: getattr(make(), part)(**given)), given
    return calls


ODD = [float("nan"), float("inf"), -float("inf"), -1, 1e-45, 6e-8, 65504, -65504, 3e38]


def near(value):
    """Arrays that nearly fit: of another dtype or shape, or with one odd number."""
    if not isinstance(value, np.ndarray | torch.Tensor) or not value.ndim or not len(value):
        return []
    array = np.asarray(value)
    numbers = np.stack([array.astype(array.dtype if array.dtype.kind == "f" else "f8")] * len(ODD))
    numbers.reshape(len(ODD), -1)[:, -1] = ODD
    shapes = [array[:0], array[:1], array[:1][0], array[None], array[..., None], array[..., :-1], array.T]
    shapes += [np.concatenate([array, array]), array.reshape(-1)]
    kinds = [array.astype(kind) for kind in ("f2", "f4", "f8", "i8", "u1", "?", "c8", "U", "O")]
    arrays = [np.array(each) for each in (*numbers, *shapes, *kinds)]
    return arrays + [torch.from_numpy(each) for each in arrays if each.dtype.kind in "fiub"]


@cache
def misfits():
    """Things that are right by themselves and of another size or backbone than those of the calls."""
    made = [
        make_traces(8, T=1, K=2),
        make_traces(3, T=64, K=2),
        make_traces(2, T=2, K=1000, split="calibration"),
        make_traces(1, split="test"),
        trivial(9, N=4),
        replace(full_traces(), info={"fingerprint": "another"}),
        Traces(logits=np.full((4, 4, 10), 65504, np.float16), labels=np.zeros(4, int), split="policy"),
        small_backbone(timesteps=1),
        bb.build("small", num_classes=2, timesteps=3, input_shape=(3, 4, 4), width=2),
        few_samples(count=1),
        replace(few_samples(count=2), images=np.zeros((2, 3, 4, 4), np.uint8)),
        replace(few_samples(count=2), images=np.zeros((2, 4, 1, 8, 8), np.float32), split="test"),
        agents.train("exact", make_traces(20, T=3), steps=1, hidden=(2,)),
        agents.PerTimestep(agents.Margin(), (0.5,)),
        agents.FixedTimestep(9),
        agents.Oracle(),
        own_columns(seenn_env.make_observation("features", timesteps=4, num_classes=2)),
    ]
    return [*made, *(thing.logits for thing in made if isinstance(thing, Traces))]


def fuzzed(functions, examples):
    """Errors other than the project's own in one sentence, over calls with up to three wrong arguments each.

    A wrong argument is a random value, nearly the right one, or one of another call or of `misfits`.
    """
    found = {}
    pool = [value for _, arguments in functions.values() for value in arguments.values()] + misfits()
    pool = [value for value in pool if not isinstance(value, Path)]

    @repeatable(examples)
    @given(st.data())
    def call(data):
        name = data.draw(st.sampled_from(sorted(functions)))
        function, arguments = functions[name]
        changed = {}
        for argument in data.draw(st.lists(st.sampled_from(sorted(arguments)), min_size=1, max_size=3, unique=True)):
            close = near(arguments[argument])
            known = ([], pool, close or pool)[data.draw(st.integers(0, 2))]  # by place: Hypothesis shows its choices
            changed[argument] = known[data.draw(st.integers(0, len(known) - 1))] if known else data.draw(VALUES)
        if error := problem(function, {**arguments, **changed}):
            found[name, error[0]] = f"{name}({changed!r}): {error[1]}"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call()
    return list(found.values())
