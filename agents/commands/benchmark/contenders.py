"""Contenders of `seenn benchmark`: ways to run a policy over images.

Letters: B rows of a batch or slots of a pool, T timesteps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

import backbones as bb
from backbones.networks import InferenceNetwork
from seenn_env import Policy, make_observation, stream

_ROW_STEPS = 256
"""Approximate row-steps of a pool in one turn."""


class Turn(NamedTuple):
    """Work and time of one turn of a contender."""

    images: int
    row_steps: int
    seconds: float


class Prescribed:
    """Policy that exits at prescribed times, in the order in which rows begin."""

    observation = "features"

    def __init__(self, times: np.ndarray) -> None:
        self.times = times

    def predict(
        self,
        observation: np.ndarray,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """Actions `[B]`; the state has each row's exit time and timestep, and the number of times used so far."""
        B = len(observation)
        due, timestep, used = state or (np.zeros(B, np.int64), np.zeros(B, np.int64), 0)
        starts = np.zeros(B, bool) if episode_start is None else episode_start
        count = np.count_nonzero(starts)
        due[starts] = self.times[(used + np.arange(count)) % len(self.times)]
        timestep = np.where(starts, 1, timestep + 1)
        return (timestep >= due).astype(np.int64), (due, timestep, used + count)


def prescribed_times(mean: float, timesteps: int, seed: int, count: int = 10_007) -> np.ndarray:
    """`[count]` exit times in 1…T of that mean: at each timestep an equal share of the rows continues."""
    shares = np.linspace(0, 1, 10_001)
    share = shares[np.argmin(np.abs(sum(shares**t for t in range(timesteps)) - mean))]
    continues = np.random.default_rng(seed).random((count, timesteps - 1)) < share
    return 1 + np.cumprod(continues, 1).sum(1)


class Endless:
    """Feed of images in an endless cycle."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.count = images, 0

    def __call__(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See `seenn_env.streaming.Feed`."""
        rows = (self.count + np.arange(count)) % len(self.images)
        self.count += count
        return self.images[rows], rows


class Contenders:
    """Contenders as methods that take a turn with B rows."""

    def __init__(self, backbone: InferenceNetwork, images: np.ndarray, B: int, clock: Callable[[], float]) -> None:
        self.backbone, self.B, self.clock, self.T = backbone, B, clock, backbone.timesteps
        self.feed = Endless(images)
        self.spec = make_observation("features", timesteps=self.T, num_classes=backbone.num_classes)
        self._used: Any = None

    def stem(self) -> Turn:
        """Start B rows only."""
        begin = self.clock()
        self._start()
        if self.backbone.device.type == "cuda":
            torch.cuda.synchronize()
        return Turn(self.B, 0, self.clock() - begin)

    def full(self, *, reuse: bool = False) -> Turn:
        """All T timesteps without a policy; in the memory of the last turn if `reuse`."""
        begin = self.clock()
        if reuse and self._used is not None:
            images, keys = (torch.from_numpy(array) for array in self.feed(self.B))
            rows = torch.arange(self.B, device=self.backbone.device)
            state = self.backbone.refill(self._used, rows, images, keys)
        else:
            state = self._start()
        for _ in range(self.T):
            logits, state = self.backbone.advance(state)
        logits.cpu()
        if reuse:
            self._used = state
        return Turn(self.B, self.B * self.T, self.clock() - begin)

    def together(self, policy: Policy, *, stop: bool) -> Turn:
        """A batch under a policy, until all rows have exited if `stop`, else to T (the post-hoc mask)."""
        begin = self.clock()
        state, memory, running, steps = self._start(), None, np.ones(self.B, bool), 0
        previous = np.zeros((self.B, self.backbone.num_classes), np.float32)
        while steps < self.T and (running.any() or not stop):
            logits, state = self.backbone.advance(state)
            steps, now = steps + 1, logits.cpu().numpy()
            columns = self.spec(now, previous, np.full(self.B, steps))
            actions, memory = policy.predict(columns, memory, np.full(self.B, steps == 1))
            running &= actions == 0
            previous = now
        return Turn(self.B, self.B * steps, self.clock() - begin)

    def live(self, policy: Policy) -> Callable[[], Turn]:
        """An endless stream; a turn is some steps of its pool."""
        pool = bb.SlotPool(self.backbone, self.B)
        exits = stream(pool, self.feed, policy)
        done = 0
        step = pool.step

        def counted() -> torch.Tensor:
            nonlocal done
            done += 1
            return step()

        pool.step = counted  # type: ignore[method-assign]

        def turn() -> Turn:
            begin, before, images = self.clock(), done, 0
            while done - before < max(1, min(_ROW_STEPS, 32 * self.B) // self.B):
                images += len(next(exits).places)
            return Turn(images, self.B * (done - before), self.clock() - begin)

        turn()  # fills the pool
        return turn

    def _start(self) -> Any:
        images, keys = self.feed(self.B)
        return self.backbone.start(torch.from_numpy(images), torch.from_numpy(keys))
