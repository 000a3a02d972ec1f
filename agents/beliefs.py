"""How likely each answer is right, as the network itself comes to believe: something to learn from beside labels.

Letters: N rows, T timesteps, K classes.
"""

import numpy as np

from agents.fitted_confidence import fit_temperature
from seenn_env import Traces


def beliefs(traces: Traces) -> np.ndarray:
    """`[N, T]` float32: the probability that the answer of each timestep is right, as the network has it after T.

    The probability is that of softmax(logits / temperature), of the logits after T timesteps, averaged over a
    sample's repeats (augmented views, or draws of the encoding). The temperature is the likeliest by the labels.

    Raises:
        InputError: for compact traces, which have not all logits.
    """
    traces.refuse_test("learning from the network's own beliefs")
    names, of_row = np.unique(traces.sample, return_inverse=True)
    last = traces.columns("logits")[:, -1, :-1].astype(np.float64)
    mean = np.zeros((len(names), last.shape[1]))
    np.add.at(mean, of_row, last)
    mean = (mean / np.bincount(of_row)[:, None])[of_row]
    scaled = mean / fit_temperature(mean, traces.labels)
    likely = np.exp(scaled - scaled.max(1, keepdims=True))
    likely /= likely.sum(1, keepdims=True)
    found: np.ndarray = np.take_along_axis(likely, traces.predictions.astype(np.int64), axis=1).astype(np.float32)
    return found
