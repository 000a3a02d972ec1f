"""Checks of the end of episodes in each of Gymnasium's three autoreset modes.

>>> check_autoreset(recorder, actions, seed=0)

Letters: `B` the number of rows, `env.num_envs`.
"""

import warnings
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate

from backbones.errors import counted
from seenn_env.checking.results import Recorder, Result, VectorEnvError, check_in_space, difference, require_same

ROUNDS = 8  # each with other rows disturbed: two dependent rows pass with probability 2 ** -8
COINCIDENCES = 3  # episodes that must all appear unreset to be a defect


def check_autoreset(recorder: Recorder, actions: list, seed: int) -> None:
    """Ended episodes are followed by new ones, by the rules of the autoreset mode."""
    results = recorder.play(actions, seed)
    previous = next(results)
    unreset: list[bool] = []
    varied = False
    for result in results:
        if recorder.mode is AutoresetMode.SAME_STEP:
            check_final(recorder, result)
            reset_rows, last = result.done, result.infos.get("final_obs", [])
        else:
            reset_rows, last = previous.done, recorder.rows(previous.observations)
            if recorder.mode is AutoresetMode.NEXT_STEP:
                check_reset_step(result, reset_rows)
        now = recorder.rows(result.observations)
        unreset.extend(difference(last[row], now[row]) is None for row in np.flatnonzero(reset_rows))
        varied = varied or difference(previous.observations, result.observations) is not None
        previous = result
    if len(unreset) >= COINCIDENCES and all(unreset) and varied:
        raise VectorEnvError(
            f"Expected a new episode's first observation after each end, but all {len(unreset)} times it "
            f"equals the ended one's last: in {recorder.mode.name} keep the last one, then reset the row."
        )
    if not unreset:
        warnings.warn(
            f"No episode ended and was reset in {counted(len(actions), 'step')}, so autoreset is unchecked: "
            "use more steps.",
            stacklevel=3,
        )


def check_final(recorder: Recorder, result: Result) -> None:
    """SAME_STEP: infos hold the last observation and info of exactly the episodes that ended."""
    for key in ("final_obs", "final_info"):
        if result.done.any() and key not in result.infos:
            raise VectorEnvError(
                f"Expected infos['{key}'] where an episode ended, got the keys {sorted(result.infos)}: "
                "in SAME_STEP the observation is already the next episode's."
            )
        mask = result.infos.get(f"_{key}", np.zeros(recorder.num_envs, dtype=bool))
        promise = f"infos['_{key}'] to mark the rows whose episode ended"
        require_same(result.done, mask, promise, "set it to terminations | truncations")
    if not isinstance(result.infos.get("final_info", {}), dict):
        raise VectorEnvError("Expected infos['final_info'] to be a dictionary of arrays: use _add_info.")
    space = recorder.env.single_observation_space
    for row in np.flatnonzero(result.done):
        check_in_space(space, result.infos["final_obs"][row], f"infos['final_obs'][{row}]")


def check_reset_step(result: Result, reset_rows: np.ndarray) -> None:
    """NEXT_STEP: the step that resets a row gives reward 0 and ends nothing."""
    for name in ("rewards", "terminations", "truncations"):
        got = getattr(result, name)[reset_rows]
        promise = f"the {name} of the rows that a step resets to be 0 or False"
        require_same(np.zeros_like(got), got, promise, "in NEXT_STEP the step after an end only resets")


def check_reset_step_ignores_actions(first: Recorder, second: Recorder, actions: list, others: list, seed: int) -> None:
    """NEXT_STEP: a row's action does not matter in the step that resets it."""
    promise, remedy = "the step after an end to ignore the row's action", "in NEXT_STEP it only resets"
    a, _ = first.reset(seed=seed), second.reset(seed=seed)
    for action, other in zip(actions, others, strict=True):
        changed = exchange_rows(first.env, action, other, a.done)
        a, b = first.step(action), second.step(changed)
        require_same(vars(a), vars(b), promise, remedy)


def check_reset_mask(first: Recorder, second: Recorder, actions: list, seed: int) -> None:
    """DISABLED: `reset(options={"reset_mask": mask})` resets the rows in the mask and no others."""
    everything = np.ones(first.num_envs, dtype=bool)
    second.play_until_done(actions, seed + 1)
    promise = "a reset_mask of all rows to be the same as a full reset"
    remedy = "reset the rows in options['reset_mask'] completely"
    a, b = first.reset(seed=seed), second.reset(seed=seed, mask=everything)
    require_same(vars(a), vars(b), promise, remedy)
    for action in actions:
        a, b = first.step(action), second.step(action)
        require_same(vars(a), vars(b), promise, remedy)
        if a.done.any():
            break

    rng = np.random.default_rng(seed)
    for turn in range(ROUNDS if first.num_envs > 1 else 0):
        check_mask_leaves_rows_alone(first, second, actions, turn, seed + turn, random_rows(first.num_envs, rng))

    for bad in (np.ones(first.num_envs + 1, dtype=bool), np.ones(first.num_envs, dtype=np.int64)):
        try:
            second.env.reset(options={"reset_mask": bad})
        except Exception:
            continue
        raise VectorEnvError(
            f"Expected a reset_mask of dtype {bad.dtype} and shape {bad.shape} to be refused, "
            f"but it was accepted: raise an error unless it is bool and of shape ({first.num_envs},)."
        )


def check_mask_leaves_rows_alone(
    first: Recorder, second: Recorder, actions: list, played: int, seed: int, mask: np.ndarray
) -> None:
    """DISABLED: after `played` steps and a reset of the rows in `mask`, the others continue as without it."""
    a, b = first.reset(seed=seed), second.reset(seed=seed)
    for action in actions[:played]:
        a, b = first.step(action), second.step(action)
        if a.done.any():
            return
    remedy = "reset the rows in options['reset_mask'] only"
    expected_observations = second.rows(b.observations)
    observations = first.rows(first.reset(mask=mask).observations)
    for row in np.flatnonzero(~mask):
        promise = f"row {row}, outside reset_mask, to keep its observation"
        require_same(expected_observations[row], observations[row], promise, remedy)
    for action in actions[played:]:
        a, b = first.step(action), second.step(action)
        expected, got = second.outcomes(b), first.outcomes(a)
        for row in np.flatnonzero(~mask):
            promise = f"row {row}, outside reset_mask, to continue as without the reset"
            require_same(expected[row], got[row], promise, remedy)
        if a.done.any() or b.done.any():
            return


def exchange_rows(env: VectorEnv, actions: Any, others: Any, mask: np.ndarray) -> Any:
    """`actions` with the rows in `mask` taken from `others`."""
    rows = zip(iterate(env.action_space, actions), iterate(env.action_space, others), mask, strict=True)
    return join_rows(env, [other if exchanged else row for row, other, exchanged in rows])


def join_rows(env: VectorEnv, rows: list[Any]) -> Any:
    """A batch of actions made of `B` single ones."""
    empty: Any = create_empty_array(env.single_action_space, n=env.num_envs)
    return concatenate(env.single_action_space, rows, empty)


def random_rows(num_envs: int, rng: np.random.Generator) -> np.ndarray:
    """`[B]` a random choice of rows: at least one, and never all."""
    while True:
        mask = rng.random(num_envs) < 0.5
        if mask.any() and not mask.all():
            return mask
