"""Check of the arguments of a policy's `predict`.

Letters: B rows, F columns.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from backbones import InputError
from backbones.errors import USAGE_ERRORS, counted, first_line, shown
from backbones.tensors import as_array

Predict = TypeVar("Predict", bound=Callable[..., Any])


def checks_arguments(predict: Predict) -> Predict:
    """Decorator of `predict`: an `InputError` for observations, states and starts that do not fit the policy."""

    @wraps(predict)
    def checked(
        self: Any, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> Any:
        rows, starts = as_array(observation, "observation"), None
        axes = 4 if getattr(self, "decides", "step") == "start" else 2
        fits = rows.ndim >= 2 if getattr(self, "reads_nothing", False) else rows.ndim == axes
        if not fits or rows.dtype.kind not in "fiub" or not np.isfinite(rows).all():
            raise InputError(f"{_expected(self, axes)}, of finite numbers, got {shown(observation)}.")
        if episode_start is not None:
            starts = as_array(episode_start, "episode_start")
            if starts.shape != (len(rows),) or starts.dtype.kind not in "biuf":
                raise InputError(f"Expected episode_start [{len(rows)}] of booleans, got {shown(episode_start)}.")
            starts = starts.astype(bool)
        if not isinstance(deterministic, bool | np.bool_):
            raise InputError(f"Expected deterministic to be True or False, got {shown(deterministic)}.")
        try:
            actions, state = predict(self, rows, state, starts, deterministic)
        except InputError:
            raise
        except (*USAGE_ERRORS, LookupError, RuntimeError) as error:
            raise InputError(
                f"{_expected(self, axes)}, and the state that predict returned before, got {shown(observation)}, but: "
                f"{first_line(error)}."
            ) from error
        if actions.shape != rows.shape[:1]:
            raise InputError(
                f"Expected the state of {counted(len(rows), 'row')}, got one of {actions.size}: omit it at the start."
            )
        return actions, state

    return checked  # type: ignore[return-value]


def _expected(policy: Any, axes: int) -> str:
    return f"Expected observation [{'B, F' if axes == 2 else 'B, C, H, W'}] of {shown(policy.observation)}"
