"""Boosted regression trees as arrays, fitted by scikit-learn's `HistGradientBoostingRegressor`.

The only file that reads private parts of scikit-learn, `_predictors` and `_baseline_prediction`, as in versions 1.4 to
1.9: there is no public access to the fitted trees of that regressor.

Letters: B rows, N rows of traces, F columns, R trees, J nodes of the largest tree.
"""

from typing import Any

import numpy as np


def fit_trees(columns: np.ndarray, target: np.ndarray, **arguments: Any) -> tuple[np.ndarray, np.ndarray]:
    """Fit targets `[N]` on columns `[N, F]`, by the arguments of `HistGradientBoostingRegressor`.

    Returns:
        trees: `[R, J, 5]` (column, split, left, right, value; column -1 marks a leaf).
        base: `[1]` added to the sum of the trees.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor  # slow to import

    model = HistGradientBoostingRegressor(early_stopping=False, **arguments).fit(columns, target)
    fitted = [predictors[0].nodes for predictors in model._predictors]
    arrays = np.zeros((len(fitted), max(map(len, fitted)), 5))
    for array, nodes in zip(arrays, fitted, strict=True):
        array[: len(nodes), 0] = np.where(nodes["is_leaf"] == 1, -1, nodes["feature_idx"])
        for place, name in enumerate(("num_threshold", "left", "right", "value"), 1):
            array[: len(nodes), place] = nodes[name]
    return arrays, np.asarray(model._baseline_prediction, np.float64).reshape(-1)


def run_trees(trees: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """`[B]` the sum of trees `[R, J, 5]` over columns `[B, F]`."""
    total, rows = np.zeros(len(columns)), np.arange(len(columns))
    for tree in trees:
        feature, left, right = (tree[:, place].astype(np.int64) for place in (0, 2, 3))
        node = np.zeros(len(columns), np.int64)
        while True:
            split = feature[node] >= 0
            if not split.any():
                break
            goes_left = columns[rows, feature[node].clip(0)] <= tree[node, 1]
            node = np.where(split, np.where(goes_left, left[node], right[node]), node)
        total += tree[node, 4]
    return total
