"""State of a training run between epochs, in memory and on disk."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from backbones.array_files import map_arrays, write_arrays
from backbones.errors import InputError, counted, refusing
from backbones.machine.processes import ProcessGroup
from backbones.networks.network import SpikingNetwork
from backbones.tensor_files import check_weights, refuse_nan
from backbones.training.config import TrainingConfig, stages_of

FORMAT = "seenn_env.training/1"


def _damaged(path: Path) -> AbstractContextManager[None]:
    return refusing(f"Expected {path} to hold the state of a training run", advice=" Delete it.")


def restore_optimizer(saved: dict[str, Any], path: Path, optimizer: Optimizer, schedule: Any) -> None:
    """Load the parts of `RunState.save` of those names; an `InputError` for impossible ones."""
    with _damaged(path):
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        for parameter, slots in optimizer.state.items():
            for name, slot in slots.items():
                if slot.shape not in ((), parameter.shape) or not torch.isfinite(slot).all():
                    raise ValueError(f"{name} of the optimizer is impossible")
        if not np.isfinite([group["lr"] for group in optimizer.param_groups]).all():
            raise ValueError("its learning rate is impossible")


Weights = dict[str, Tensor]


@dataclass
class RunState:
    """Progress of a run, beside the network's own weights."""

    network: SpikingNetwork
    config: TrainingConfig
    start: str
    """Fingerprint of the network before the first step."""
    data: str = ""
    """Digest of the samples."""
    losses: list[float] = field(default_factory=list)
    """Of each finished epoch."""
    steps: int = 0
    """Finished optimizer steps."""
    average: Weights | None = None
    """The moving average of weights and norm statistics."""
    best: Weights | None = None
    """The best weights of the last stage so far, with `best_accuracy`."""
    best_accuracy: float = -1.0

    def name(self) -> str:
        """Network, settings and samples as JSON, which identify a run; stages that have not begun may still change."""
        begun = [s for s in stages_of(self.config, self.network.timesteps) if s.first < max(1, len(self.losses))]
        settings = {**asdict(self.config), "epochs": 0, "learning_rate": 0.0, "stages": [asdict(s) for s in begun]}
        return json.dumps([self.network.config, settings, self.start, self.data], sort_keys=True)

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the average towards the weights, in the first steps faster."""
        self.steps += 1
        if not self.config.ema:
            return
        weights = self.network.state_dict()
        if self.average is None:
            self.average = {name: value.clone() for name, value in weights.items()}
        decay = min(self.config.ema, self.steps / (self.steps + 9))
        for name, value in self.average.items():
            if value.is_floating_point():
                value.lerp_(weights[name], 1 - decay)
            else:
                value.copy_(weights[name])

    def average_statistics(self, group: ProcessGroup) -> None:
        """Average the running estimates over the processes."""
        for weights in filter(None, (self.network.state_dict(), self.average)):
            group.average(value for name, value in weights.items() if name.endswith(("running_mean", "running_var")))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network has the averaged weights, if there are any, inside the block, and its own ones after it."""
        own = {name: value.clone() for name, value in self.network.state_dict().items()}
        if self.average is not None:
            self.network.load_state_dict(self.average)
        try:
            yield
        finally:
            self.network.load_state_dict(own)

    def offer(self, accuracy: float) -> None:
        """Keep the network's weights as the best if their accuracy is."""
        if accuracy > self.best_accuracy:
            self.best_accuracy = accuracy
            self.best = {name: value.clone() for name, value in self.network.state_dict().items()}

    def save(self, path: Path, **parts: Any) -> None:
        """Write the state atomically and sealed, with the `state_dict` of each of `parts`."""
        state = {
            "run": self.name(),
            "losses": self.losses,
            "steps": self.steps,
            "network": self.network.state_dict(),
            "average": self.average,
            "best": self.best,
            "best_accuracy": self.best_accuracy,
        }
        torch.save({**state, **{name: part.state_dict() for name, part in parts.items()}}, buffer := BytesIO())
        write_arrays(path, {"state": np.frombuffer(buffer.getbuffer(), np.uint8)}, {"format": FORMAT})

    def restore(self, path: Path) -> dict[str, Any]:
        """Read the file of `save`, and return its content; an `InputError` for a damaged one, or of another run."""
        arrays, metadata, seal = map_arrays(path, kind="the state of a training run")
        if metadata.get("format") != FORMAT or seal is None:
            raise InputError(f"Expected the state of a training run ({FORMAT}) in {path}, got another file: delete it.")
        with _damaged(path):
            file = BytesIO(arrays["state"].tobytes())
            state: dict[str, Any] = torch.load(file, map_location=self.network.device, weights_only=True)
            self.losses, self.steps = [float(loss) for loss in state["losses"]], state["steps"]
            if state["run"] != self.name():
                raise InputError(
                    f"Expected {path} to hold this run, but it holds one with other settings or samples: "
                    "delete it, or repeat that run's settings."
                )
            if (done := len(self.losses)) > (end := stages_of(self.config, self.network.timesteps)[-1].end):
                raise InputError(
                    f"Expected {path} to hold at most the {counted(end, 'epoch')} of this run, but it holds {done}: "
                    "delete it, or repeat that run's settings."
                )
            for name in ("network", "average", "best"):
                if name == "network" or state[name] is not None:
                    check_weights(self.network, state[name], f"the network in {path}")
                    refuse_nan(state[name], f"in {path}")
            self.best_accuracy = float(state["best_accuracy"])
            numbers = np.isfinite(self.losses).all() and isinstance(self.steps, int) and self.steps >= 0
            if not numbers or not -1 <= self.best_accuracy <= 1:
                raise ValueError("its losses, steps or accuracy are impossible")
            self.network.load_state_dict(state["network"])
            self.average, self.best = state["average"], state["best"]
        return state
