"""Small things that many tests need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import backbones as bb
from backbones.networks import SpikingNetwork
from tests.helpers.traces import make_traces

if TYPE_CHECKING:
    from seenn_env import Traces

torch.set_num_threads(1)  # the networks are small, and machines that test are busy


@pytest.fixture(scope="session")
def digits() -> bb.Splits:
    return bb.load_dataset("digits")


@pytest.fixture(scope="session")
def network() -> SpikingNetwork:
    """An untrained Poisson network for digits, T = 4."""
    return bb.build("small", num_classes=10, timesteps=4, input_shape=(1, 8, 8), encoding="poisson", width=4)


@pytest.fixture(scope="session")
def traces() -> Traces:
    return make_traces()


@pytest.fixture(scope="session")
def packaged() -> Traces:
    from seenn_env import Traces

    return Traces.load("digits")
