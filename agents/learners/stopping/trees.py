"""Boosted regression trees as arrays, fitted by scikit-learn's `HistGradientBoostingRegressor`.

The only file that reads private parts of scikit-learn, `_predictors` and `_baseline_prediction`, as in versions 1.4 to
1.9: there is no public access to the fitted trees of that regressor.

Letters: B rows, N rows of traces, F columns, R trees, J nodes of the largest tree.
"""

from typing import Any

import numpy as np

from backbones import InputError
from backbones.errors import counted


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


def check_trees(trees: np.ndarray) -> None:
    """Raise an `InputError` for an array in which a path has no end."""
    if trees.ndim != 3 or trees.shape[2] != 5 or trees.shape[1] < 1 or trees.dtype != np.float64:
        raise InputError(f"Expected trees [R, J, 5] of float64, got {list(trees.shape)} of {trees.dtype}.")
    used: np.ndarray = (trees != 0).any(-1)  # rows of zeros fill up the smaller trees
    used[:, 0] = True
    split = used & (trees[..., 0] != -1)
    tree, node = np.nonzero(split)
    column, children = trees[split][:, 0], trees[split][:, 2:4].T
    whole = (column >= 0) & (column < 2**31) & (column == np.rint(column)) & (children == np.rint(children)).all(0)
    if not whole.all() or not ((children > node) & (children < trees.shape[1])).all():
        raise InputError("Expected trees whose nodes name a column and later nodes, got others.")
    if not all(used[tree, child].all() for child in children.astype(np.int64)):
        raise InputError("Expected trees whose paths end in leaves, got one without a leaf.")


def run_trees(trees: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """`[B]` the sum of trees `[R, J, 5]` over columns `[B, F]`."""
    total, rows = np.zeros(len(columns)), np.arange(len(columns))
    if trees[..., 0].max(initial=-1) >= columns.shape[1]:
        raise InputError(
            f"Expected the observation that the trees were fitted on, got "
            f"{counted(columns.shape[1], 'column')}, too few."
        )
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
