"""Richer columns than the features, for agents that learn: those of the observations "rich" and "classes".

Letters: B rows, K classes, k = min(5, K) of them.
"""

from typing import NamedTuple

import numpy as np

from seenn_env.observations.columns import LOGITS_RANGE, Answers, answers, features

RICH = ("gap", "top_logit", "log_sum_exp", "summed_confidence", "answer_before", "margin_before")
"""Columns after the features; then `probability_1` … `probability_k`, sorted."""

GAP_RANGE = 2 * LOGITS_RANGE
"""The gap is clipped to this."""


class RichAnswers(NamedTuple):
    """What the rich columns need of the logits at one timestep."""

    answers: Answers
    logits: np.ndarray
    """`[B, K]`."""
    top: np.ndarray
    """`[B, k]` the k likeliest classes, from the likeliest down."""


def rich_answers(logits: np.ndarray) -> RichAnswers:
    """Probabilities and the likeliest classes of logits `[B, K]`."""
    return RichAnswers(answers(logits), logits, np.argsort(-logits, axis=-1, kind="stable")[:, :5])


def rich(now: RichAnswers, before: RichAnswers, timestep: np.ndarray, timesteps: int) -> np.ndarray:
    """The features, then class-agnostic columns.

    - gap: the largest logit less the second, clipped to `GAP_RANGE`
    - top_logit: the largest logit, clipped to ±`LOGITS_RANGE`
    - log_sum_exp: log Σ exp of the logits, clipped likewise
    - summed_confidence: the largest probability of softmax(t · logits), of logits that are summed over time
    - answer_before: the probability that the present answer had at the timestep before (0 at timestep 1)
    - margin_before: the margin at the timestep before (0 at timestep 1)
    - probability_1 … probability_k: the k largest probabilities
    """
    p, q, logits = now.answers.p, before.answers.p, now.logits
    ranked = np.take_along_axis(logits, now.top, -1)
    top = ranked[:, 0]
    with np.errstate(under="ignore"):
        log_sum_exp = top + np.log(np.exp(logits - top[:, None]).sum(-1))
        summed = 1 / np.exp(timestep[:, None].astype(np.float32) * (logits - top[:, None])).sum(-1)
    gap = top - ranked[:, 1] if ranked.shape[1] > 1 else np.full(len(top), GAP_RANGE)
    later, previous = timestep > 1, -np.sort(-q, axis=-1)[:, :2]
    margin = previous[:, 0] - previous[:, 1] if q.shape[1] > 1 else previous[:, 0]
    columns = (
        gap.clip(0, GAP_RANGE),
        top.clip(-LOGITS_RANGE, LOGITS_RANGE),
        log_sum_exp.clip(-LOGITS_RANGE, LOGITS_RANGE),
        summed.clip(0, 1),
        later * q[np.arange(len(q)), now.answers.prediction],
        later * margin,
    )
    probabilities = np.take_along_axis(p, now.top, -1)
    basic = features(now.answers, before.answers, timestep, timesteps)
    return np.concatenate([basic, np.stack(columns, -1).astype(np.float32), probabilities.clip(0, 1)], -1)


def with_classes(now: RichAnswers, before: RichAnswers, timestep: np.ndarray, timesteps: int) -> np.ndarray:
    """The features, and one-hot which class comes first and which second."""
    classes = np.zeros((len(now.top), 2, now.logits.shape[-1]), np.float32)
    for place in range(min(2, now.top.shape[1])):
        classes[np.arange(len(classes)), place, now.top[:, place]] = 1
    basic = features(now.answers, before.answers, timestep, timesteps)
    return np.concatenate([basic, classes.reshape(len(classes), -1)], -1)
