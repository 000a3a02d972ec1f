"""Every command of `seenn` by name, in the order of `seenn --help`.

A command is a frozen dataclass of its options with `run`, and `resumes = True` where a stopped one can continue. Its
module imports what `--help` needs; `run` imports PyTorch and other large packages through the lazy doors of `agents`,
`seenn_env`, `backbones` and their rooms.
"""

from collections.abc import Callable
from typing import Any

from agents.commands.benchmark.command import Benchmark
from agents.commands.calibrate import Calibrate
from agents.commands.classify import Classify
from agents.commands.compare import Compare
from agents.commands.convert import Convert
from agents.commands.export import Export
from agents.commands.headroom import Headroom
from agents.commands.info import Info
from agents.commands.quickstart import Quickstart
from agents.commands.record import Record
from agents.commands.sweep import Sweep
from agents.commands.train import Train
from agents.commands.train_backbone import TrainBackbone
from agents.commands.watch import Watch

COMMANDS: dict[str, Callable[..., Any]] = {
    "quickstart": Quickstart,
    "train-backbone": TrainBackbone,
    "convert": Convert,
    "record": Record,
    "train": Train,
    "calibrate": Calibrate,
    "sweep": Sweep,
    "headroom": Headroom,
    "compare": Compare,
    "classify": Classify,
    "export": Export,
    "watch": Watch,
    "info": Info,
    "benchmark": Benchmark,
}
