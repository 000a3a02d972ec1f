"""Episodes that end in a step, as the dictionaries that Stable-Baselines3 reads: one for each slot.

Letters: B slots, S of them whose episodes ended.
"""

from typing import Any

import numpy as np

from seenn_env.vector.slots import Moved


def slot_infos(
    moved: Moved,
    returns: np.ndarray,
    lengths: np.ndarray,
    seconds: float,
    answers: tuple[np.ndarray, ...] | None,
) -> list[dict[str, Any]]:
    """B dictionaries, each the caller's own; those of slots that go on are empty.

    Args:
        moved: the step.
        returns: `[S]` of the episodes.
        lengths: `[S]` of the episodes, in steps.
        seconds: since the start of training.
        answers: `[S]` each, as `SlotsVectorEnv.INFOS` names them, or None to leave them out.
    """
    # This is the slowest part of a step by far: one literal for each slot, as keys added later cost more.
    infos: list[dict[str, Any]] = [{} for _ in range(len(moved.ended))]
    told = (moved.slots.tolist(), moved.last, returns.tolist(), lengths.tolist(), moved.correct.tolist())
    if answers is None:
        for slot, observation, total, length, success in zip(*told, strict=True):
            infos[slot] = {
                "terminal_observation": observation,
                "TimeLimit.truncated": False,
                "episode": {"r": total, "l": length, "t": seconds},
                "is_success": success,
            }
        return infos
    labels, predictions, _, timesteps, samples = (column.tolist() for column in answers)
    for slot, observation, total, length, success, label, prediction, timestep, sample in zip(
        *told, labels, predictions, timesteps, samples, strict=True
    ):
        infos[slot] = {
            "terminal_observation": observation,
            "TimeLimit.truncated": False,
            "episode": {"r": total, "l": length, "t": seconds},
            "label": label,
            "prediction": prediction,
            "correct": success,
            "timestep": timestep,
            "sample": sample,
            "is_success": success,
        }
    return infos
