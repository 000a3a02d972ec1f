"""`seenn headroom`: gains of stronger stopping rules over confidence, before any training."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from agents import comparison
from agents.commands.output import check_file, print_json
from agents.commands.stated_default import Stated
from agents.commands.train import load_traces
from backbones import machine
from backbones.argument_checks import Natural
from backbones.atomic import write_atomic


@dataclass(frozen=True)
class Headroom:
    """Measure the gain of per-timestep thresholds and cross-fitted optimal stopping over confidence.

    For example:

        seenn headroom --traces digits --targets 1.2 1.5 2
    """

    traces: tuple[Path, ...] = (Path("digits"),)
    """Traces files, or packaged names."""
    split: Stated[str | None] = None
    """Split whose rows are used (default: all but those of "test")."""
    targets: tuple[float, ...] = (1.1, 1.2, 1.5, 2.0)
    """Mean timesteps."""
    folds: int = 5
    """Folds of the cross-fitting."""
    observation: str = "features"
    """Observation of optimal stopping."""
    output: Path | None = None
    """A .json file for the figures too."""
    seed: Natural = 0
    """Seed of the folds and the bootstrap."""
    json: bool = False
    """Print one JSON object instead of the table."""
    overwrite: bool = False
    """Replace an existing file."""

    def run(self) -> None:
        """Print the table."""
        check_file(self.output, self)
        traces = load_traces(self.traces)
        if self.split is not None:
            traces = traces.select(self.split)
        elif "test" in traces.split and traces.split != "test":
            traces = traces.without("test")
        with machine.torch_threads(1):
            headroom = comparison.headroom(
                traces, targets=self.targets, folds=self.folds, observation=self.observation, seed=self.seed
            )
        if self.output is not None:
            write_atomic(self.output, json.dumps(asdict(headroom), indent=1) + "\n")
        if self.json:
            print_json(asdict(headroom))
            return
        print(headroom.table())
        if self.output is not None:
            print("figures:", self.output)
