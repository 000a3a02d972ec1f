"""Steps as arrays: the fast path of vector environments that return no dictionaries.

Letters: B slots, S of them whose episodes ended.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class ArrayVectorEnv(Protocol):
    """A vector environment that can step without dictionaries."""

    has_array_steps: bool
    """Whether `advance` is equal to `step`."""

    def advance(self, actions: np.ndarray) -> Any:
        """One action `[B]` for each slot; the result of the step, in arrays that belong to the caller.

        `observations` `[B, …]` after the reset of the slots that ended, `rewards` `[B]` float32, `ended` `[B]` bool,
        `slots` `[S]` those that ended, and of these `last` `[S, …]` observations and `success` `[S]` bool.
        """

    def final_infos(self, step: Any) -> list[dict[str, Any]]:
        """`[S]` the infos of the episodes that ended in a step, fresh."""


def slot_infos(
    step: Any,
    returns: np.ndarray,
    lengths: np.ndarray,
    seconds: float,
    final_infos: list[dict[str, Any]] | None,
) -> list[dict[str, Any]]:
    """B dictionaries as Stable-Baselines3 reads them, each the caller's own; those of slots that continue are empty.

    Args:
        step: the result.
        returns: `[S]` of the episodes.
        lengths: `[S]` of the episodes, in steps.
        seconds: since the start of training.
        final_infos: `[S]` dictionaries to extend; None has `is_success` alone.
    """
    # The slowest part of a step by far: one literal for each slot, as keys added later cost more.
    infos: list[dict[str, Any]] = [{} for _ in range(len(step.ended))]
    endings = zip(
        step.slots.tolist(), step.last, returns.tolist(), lengths.tolist(), step.success.tolist(), strict=True
    )
    if final_infos is None:
        for slot, observation, total, length, success in endings:
            infos[slot] = {
                "terminal_observation": observation,
                "TimeLimit.truncated": False,
                "episode": {"r": total, "l": length, "t": seconds},
                "is_success": success,
            }
        return infos
    for (slot, observation, total, length, _), info in zip(endings, final_infos, strict=True):
        info["terminal_observation"] = observation
        info["TimeLimit.truncated"] = False
        info["episode"] = {"r": total, "l": length, "t": seconds}
        infos[slot] = info
    return infos
