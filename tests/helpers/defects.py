"""Broken vector environments, and the message that a checker gives for each."""

import re
from functools import partial

import pytest

from seenn_env.checking.check import check_vector_env
from seenn_env.checking.results import VectorEnvError
from tests.helpers.counting import SAME, Count, CountVector


def defects():
    """A register of broken `CountVector`s: a decorator, and the list that it fills."""
    found = []

    def defect(match, mode=SAME, single=True):
        """Register one, with its autoreset mode and a pattern of the checker's message."""

        def register(broken):
            found.append(pytest.param(broken, mode, single, match, id=broken.__name__))
            return broken

        return register

    return defect, found


def after_step(change):
    """A defect of the values that `step` returns."""

    class Changed(CountVector):
        def step(self, actions):
            return change(self, actions, *super().step(actions))

    Changed.__name__ = change.__name__
    return Changed


def check_is_named(broken, mode, single, match):
    """The checker raises an error that matches."""
    with pytest.raises(VectorEnvError) as caught:
        check_vector_env(partial(broken, mode), (lambda row: Count()) if single else None, steps=60)
    assert re.search(match, str(caught.value)), str(caught.value)
