"""Corrections of p-values for multiple comparisons: Holm's step-down and the bootstrap max-t.

Letters: G comparisons, R resamples.
"""

from collections.abc import Sequence

import numpy as np

from backbones.argument_checks import check_kinds
from backbones.tensors import numbers


@check_kinds
def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment of p-values, which controls the error of the whole family."""
    p = numbers(p_values, "p_values", "G").astype(float)
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    result = np.empty_like(p)
    result[order] = adjusted
    return result


@check_kinds
def max_t(estimates: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """P-values adjusted by the step-down bootstrap of the largest |t| (Romano and Wolf 2005), for the whole family.

    With se_g the standard deviation of the draws, t_g = |estimate_g| / se_g is compared with its null distribution,
    |draw_g - estimate_g| / se_g: p is the share of R + 1 whose largest t over the comparisons not yet decided, from the
    largest t down, is at least t_g. Correlated comparisons, such as neighbouring targets, are adjusted by less than
    under Holm's correction.

    Args:
        estimates: `[G]` differences.
        draws: `[R, G]` bootstrap draws of them, of the same resamples.

    Returns:
        `[G]` two-sided adjusted p-values.
    """
    estimates = numbers(estimates, "estimates", "G").astype(float)
    draws = numbers(draws, "draws", "RG", G=len(estimates)).astype(float)
    R, G = draws.shape
    deviation = draws.std(0)
    varies = deviation > 1e-12
    scale = np.where(varies, deviation, 1.0)
    t = np.where(varies, np.abs(estimates) / scale, np.where(estimates == 0, 0.0, np.inf))
    null = np.where(varies, np.abs(draws - estimates) / scale, 0.0)
    order = np.argsort(-t, kind="stable")
    largest = np.maximum.accumulate(null[:, order][:, ::-1], axis=1)[:, ::-1]
    shares = (1 + (largest >= t[order]).sum(0)) / (R + 1)
    adjusted = np.empty(G)
    adjusted[order] = np.maximum.accumulate(shares)
    return adjusted
