"""The least work of a step of B early-exit episodes: the reference of the environments' speeds.

Letters: B rows (num_envs), S of them that end in a step, N rows of the traces, T timesteps, F columns.
"""

import numpy as np

from seenn_env import Traces
from seenn_env.rewards import SeennReward


class BareGather:
    """`EarlyExitVectorEnv` without checks, infos, modes or options: the same episodes for the same seed.

    Args:
        traces: the rows of the episodes.
        num_envs: B.
        seed: of the order, in which each row comes once before any comes again.
    """

    def __init__(self, traces: Traces, num_envs: int, seed: int) -> None:
        N, T = len(traces), traces.timesteps
        self.N, self.T, self.num_envs = N, T, num_envs
        self.columns = np.ascontiguousarray(traces.columns("features").reshape(N * T, -1))
        self.paid = SeennReward()(traces.correct, np.arange(1, T + 1), T).astype(np.float32).reshape(-1)
        self.correct = traces.correct.reshape(-1)
        self.rng = np.random.default_rng(seed)
        self.left = self.rng.permutation(N)
        self.at = self._draw(num_envs) * T
        self.end = self.at + T - 1
        self.returns = np.zeros(num_envs)
        self.lengths = np.zeros(num_envs, np.int64)

    def _draw(self, count: int) -> np.ndarray:
        while len(self.left) < count:
            self.left = np.concatenate([self.left, self.rng.permutation(self.N)])
        rows, self.left = self.left[:count], self.left[count:]
        return rows

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, ...]:
        """One action `[B]` a row; all returned arrays are new.

        Returns:
            observations `[B, F]`, rewards `[B]`, ended `[B]`, and of the rows that ended: their places `[S]`, last
            observations `[S, F]`, returns `[S]`, lengths `[S]`, correctness `[S]`.
        """
        continues = actions == 0
        self.at += continues
        self.lengths += 1
        ended = self.at == self.end
        ended |= ~continues
        slots = ended.nonzero()[0]
        at = self.at[slots]
        rewards = np.zeros(self.num_envs, np.float32)
        rewards[slots] = self.paid.take(at)
        self.returns += rewards
        returns, lengths = self.returns[slots], self.lengths[slots]
        self.returns[slots] = self.lengths[slots] = 0
        last, correct = self.columns.take(at, axis=0), self.correct.take(at)
        first = self._draw(len(slots)) * self.T
        self.at[slots] = first
        self.end[slots] = first + (self.T - 1)
        return self.columns.take(self.at, axis=0), rewards, ended, slots, last, returns, lengths, correct


class GatherWithDictionaries(BareGather):
    """The same with the dictionaries that stable-baselines3 reads in every step, made in the fastest known way."""

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, ...]:
        """Observations `[B, F]`, rewards `[B]`, ended `[B]`, and B dictionaries."""
        observations, rewards, ended, slots, *finished = super().step(actions)
        infos: list[dict] = [{} for _ in range(self.num_envs)]
        last, *columns = finished
        for slot, observation, total, length, success in zip(
            slots.tolist(), last, *(column.tolist() for column in columns), strict=True
        ):
            infos[slot] = {
                "terminal_observation": observation,
                "TimeLimit.truncated": False,
                "episode": {"r": total, "l": length, "t": 0.0},
                "is_success": success,
            }
        return observations, rewards, ended, infos
