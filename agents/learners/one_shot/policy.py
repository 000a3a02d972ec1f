"""SEENN-II (one-shot), as in the paper: a small network chooses the number of timesteps from the image.

    policy = train("one-shot", traces)                  # traces with images
    evaluate(policy, traces).exit_timesteps

Letters: B images of a batch, N rows of traces, M images, T timesteps.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.calibration.curve import exits_at
from agents.learners.macs import count_multiplications
from agents.rules.predicting import checks_arguments
from agents.rules.score import ScoredPolicy
from backbones import InputError
from backbones.argument_checks import Positive
from backbones.contract import check_images
from backbones.machine import torch_threads
from backbones.one_line import one_line
from backbones.tensor_files import check_weights
from seenn_env import Traces

_BATCH = 1024


@dataclass(frozen=True, eq=False)
class TimestepNetwork(ScoredPolicy):
    """Chooses the number of timesteps from the image alone (SEENN-II, one-shot, Li et al. 2023, section 3.3).

    Without a threshold it chooses the likeliest timestep. With one (set by `calibrate`), it chooses the first timestep
    at which the cumulative probability reaches the threshold, which can meet any mean.

    Args:
        network: images `[B, C, H, W]` in 0…1 to logits `[B, T]`.
        shape: (C, H, W).
        timesteps: T.
        width: channels of the network's first layer.
        threshold: of the cumulative probability; None chooses the likeliest timestep.
        settings: JSON-able facts of the training, saved with the policy.
    """

    network: nn.Module
    shape: tuple[Positive, Positive, Positive]
    timesteps: Positive
    width: Positive = 16
    threshold: float | None = None  # type: ignore[assignment]
    settings: dict[str, Any] = field(default_factory=dict)

    __repr__ = one_line
    observation = "image"
    decides = "start"

    @property
    def level(self) -> float:
        """See `ScoredPolicy.level`."""
        return 0.5 if self.threshold is None else self.threshold

    @property
    def macs(self) -> int:  # type: ignore[override]
        """See `ScoredPolicy.macs`: of convolutions and linear layers, once per image."""
        return count_multiplications(self.network, lambda: self.network(torch.zeros(1, *self.shape)))

    def chances(self, images: np.ndarray) -> np.ndarray:
        """`[B, T]` float64 probability of each number of timesteps, for images `[B, C, H, W]` of the shape."""
        if images.shape[1:] != tuple(self.shape):
            raise InputError(f"Expected images [B, {', '.join(map(str, self.shape))}], got {list(images.shape)}.")
        chances = []
        with torch.no_grad(), torch_threads(1):
            for begin in range(0, len(images), _BATCH):
                logits = self.network(as_inputs(images[begin : begin + _BATCH]))
                chances.append(torch.softmax(logits.double(), 1).numpy())
        return np.concatenate(chances)

    def score(self, observation: np.ndarray) -> np.ndarray:
        """See `ScoredPolicy.score`: the probability of one timestep, for images `[B, C, H, W]`."""
        return self.chances(observation)[:, 0]

    def trace_scores(self, traces: Traces) -> np.ndarray:
        """See `ScoredPolicy`: `[N, T-1]` cumulative probability of the timesteps, from the images of the traces."""
        if traces.timesteps != self.timesteps:
            raise InputError(
                f"Expected a policy for the network's {traces.timesteps} timesteps, got one that was made for "
                f"{self.timesteps}: train it on traces of this network."
            )
        used, back = np.unique(traces.image_places, return_inverse=True)
        return np.cumsum(self.chances(traces.still_images[used]), axis=1)[back, :-1]

    @checks_arguments
    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]` of ChooseTimestep (timesteps minus 1) for images `[B, C, H, W]`."""
        chances = self.chances(observation)
        if self.threshold is None:
            return chances.argmax(1), None
        return exits_at(np.cumsum(chances, axis=1)[:, :-1], self.threshold) - 1, None

    def to_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `ScoredPolicy.to_tensors`."""
        return self.network.state_dict(), {name: value for name, value in vars(self).items() if name != "network"}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], facts: dict[str, Any]) -> "TimestepNetwork":
        """See `ScoredPolicy.from_tensors`."""
        facts["shape"] = tuple(facts["shape"])
        with torch.device("meta"):  # no memory before the shapes are known to be the file's
            like = make_timestep_network(facts["shape"], facts["timesteps"], facts["width"])
        check_weights(like, tensors, "the policy's network")
        network = make_timestep_network(facts["shape"], facts["timesteps"], facts["width"])
        network.load_state_dict(tensors)
        return cls(network.eval(), **facts)


def make_timestep_network(shape: tuple[int, int, int], timesteps: int, width: int, seed: int = 0) -> nn.Module:
    """Three convolutions (two of stride 2), the mean over space, and a linear layer to `[B, T]`."""
    C, H, W = shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        stride = 2 if min(H, W) >= 16 else 1
        return nn.Sequential(
            nn.Conv2d(C, width, 3, stride=stride, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, timesteps),
        )


def as_inputs(images: np.ndarray) -> Tensor:
    """Images as float32 in 0…1; they are uint8, or in 0…1 already. An `InputError` for other images."""
    check_images(images)
    inputs = torch.from_numpy(np.array(images, np.float32))  # a copy: torch takes no read-only arrays
    return inputs / 255 if images.dtype == np.uint8 else inputs
