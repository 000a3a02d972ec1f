"""An observation of one's own that notes the nodes of a Ray cluster on which it is made."""

import os
from pathlib import Path

import ray

from tests.helpers.traces import own_columns


def noted_columns(shape):
    """`own_columns`; makes a file with the name of this node in the folder `NODES`."""
    if ray.is_initialized():
        (Path(os.environ["NODES"]) / ray.get_runtime_context().get_node_id()).touch()
    return own_columns(shape)
