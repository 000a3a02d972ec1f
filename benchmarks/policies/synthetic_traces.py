"""Synthetic traces: inputs that arrive late, and conversions of many timesteps.

traces = s_shaped()         # accuracy useless at first, steep in the middle
traces = slowly_rising()    # T = 32, as of a network converted by QCFS

Letters: N rows of each split, T timesteps, K classes.
"""

import numpy as np

from seenn_env import Traces

SPLITS = ("policy", "calibration", "test")


def s_shaped(N: int = 4000, T: int = 8, K: int = 10, *, seed: int = 0) -> Traces:
    """Traces of an input that arrives at a random timestep: the logits are noise before it, and less and less after.

    Every output is noise, and from the onset on the right class too; logits are running means, as a network's are.
    Accuracy over time is S-shaped: below the chord from timestep 1 to the middle (convex), above it later.

    Args:
        N: rows of each of the splits policy, calibration and test.
        T: timesteps.
        K: classes.
        seed: of the rows.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(K, size=3 * N)
    onset = 1 + rng.binomial(T - 2, 0.3, size=3 * N)
    arrived = np.arange(1, T + 1) > onset[:, None]
    signal = rng.gamma(6.0, 1.0, size=(3 * N, 1, 1)) * np.eye(K)[labels][:, None] * arrived[..., None]
    outputs = signal + rng.normal(size=(3 * N, T, K))
    return _traces(outputs, labels, "s-shaped")


def slowly_rising(N: int = 4000, T: int = 32, K: int = 10, *, seed: int = 0) -> Traces:
    """Traces whose accuracy rises slowly over many timesteps, from near chance: QCFS-like, but of no network.

    Args:
        N: rows of each of the splits policy, calibration and test.
        T: timesteps.
        K: classes.
        seed: of the rows.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(K, size=3 * N)
    easy = rng.gamma(2.0, 1.5, size=(3 * N, 1, 1))
    rate = np.maximum(np.arange(1, T + 1) - 2.0, 0.0) / (np.arange(1, T + 1) + 2.0)  # spikes take time to come through
    shared = rng.normal(scale=1.0, size=(3 * N, 1, K))  # the network's own errors
    outputs = easy * np.eye(K)[labels][:, None] * rate[:, None] + shared * rate[:, None]
    return _traces(outputs + rng.normal(scale=3.0, size=(3 * N, T, K)), labels, "slowly-rising")


def _traces(outputs: np.ndarray, labels: np.ndarray, name: str) -> Traces:
    """Running means of outputs `[3 N, T, K]`, the rows of one split after those of another."""
    T = outputs.shape[1]
    logits = (outputs.cumsum(1) / np.arange(1, T + 1)[:, None]).astype(np.float32)
    return Traces(logits=logits, labels=labels, split=np.repeat(SPLITS, len(labels) // 3), info={"dataset": name})
