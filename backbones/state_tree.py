"""Trees of tensors (tuples, lists, dictionaries, None), which hold the state of a backbone.

The only file that uses `torch.utils._pytree`, which is not public; tried with torch 2.15.
"""

from collections.abc import Callable
from typing import Any

from torch.utils import _pytree

leaves_of: Callable[[Any], list[Any]] = _pytree.tree_leaves
"""The leaves of a tree, None included, in its order."""
map_leaves: Callable[..., Any] = _pytree.tree_map
"""`map_leaves(function, tree, *others)`: the tree of the function's results."""
flatten: Callable[[Any], tuple[list[Any], Any]] = _pytree.tree_flatten
"""The leaves of a tree, and its structure."""
unflatten: Callable[[list[Any], Any], Any] = _pytree.tree_unflatten
"""The tree of leaves and a structure."""


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths: `.membranes[0]`, `['v']`."""
    return {_pytree.keystr(path): leaf for path, leaf in _pytree.tree_flatten_with_path(tree)[0]}
