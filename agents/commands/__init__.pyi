from .benchmark.command import machine
from .compare import line_up
from .data import DataOptions
from .policies import named_rules
from .quickstart import RECORDED, Quickstart
from .train_backbone import TrainBackbone

__all__ = [
    "RECORDED",
    "DataOptions",
    "Quickstart",
    "TrainBackbone",
    "line_up",
    "machine",
    "named_rules",
]
