from .benchmark.command import machine
from .benchmark.timing import race
from .compare import RULES, line_up
from .data import DataOptions
from .quickstart import RECORDED, Quickstart
from .train_backbone import TrainBackbone

__all__ = [
    "RECORDED",
    "RULES",
    "DataOptions",
    "Quickstart",
    "TrainBackbone",
    "line_up",
    "machine",
    "race",
]
