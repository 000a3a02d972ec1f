"""`seenn headroom`: is learning worth it on these traces?"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from agents.commands.output import check_file
from agents.commands.train import load_traces
from agents.commands.unused_options import refuse_unused
from agents.comparison.learning_headroom import headroom
from backbones.atomic import write_atomic
from backbones.machine import torch_threads


@dataclass(frozen=True)
class HeadroomCommand:
    """What thresholds for every timestep and cross-fitted optimal stopping gain over confidence, before training."""

    traces: tuple[Path, ...] = (Path("digits"),)
    """Traces files, or packaged names."""
    split: str | None = None
    """Which split's rows (default: all but those of "test")."""
    targets: tuple[float, ...] = (1.1, 1.2, 1.5, 2.0)
    """Mean timesteps."""
    folds: int = 5
    """Of the cross-fitting."""
    observation: str = "features"
    """What optimal stopping sees."""
    output: Path | None = None
    """A .json file for the figures too."""
    seed: int = 0
    """Of the folds and the bootstrap."""
    overwrite: bool = False
    """Replace a file that is there."""

    def run(self) -> None:
        """Print the table."""
        if self.output is not None:
            check_file(self.output, self)
        else:
            refuse_unused(self, ["overwrite"], "without an --output")
        traces = load_traces(self.traces)
        if self.split is not None:
            traces = traces.select(self.split)
        elif "test" in traces.split and traces.split != "test":
            traces = traces.without("test")
        with torch_threads(1):
            found = headroom(
                traces, targets=self.targets, folds=self.folds, observation=self.observation, seed=self.seed
            )
        print(found.table())
        if self.output is not None:
            write_atomic(self.output, json.dumps(asdict(found), indent=1) + "\n")
            print("figures:", self.output)
