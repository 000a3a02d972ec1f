"""Checks that a Gymnasium vector environment keeps its promises, and says which one it breaks.

>>> make_vector = lambda: gym.make_vec("CartPole-v1", num_envs=4, vectorization_mode="sync")
>>> make_single = lambda row: gym.make("CartPole-v1")
>>> check_vector_env(make_vector, make_single)

Letters: `B` the number of rows, `env.num_envs`.
"""

import inspect
import warnings
from collections.abc import Callable
from contextlib import ExitStack, suppress
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
from gymnasium import Env, Space
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate

from seenn_env.check_vector_results import (
    Recorder,
    Result,
    VectorEnvError,
    check_in_space,
    difference,
    require_same,
    row_info,
)

__all__ = ["VectorEnvError", "check_vector_env"]

ROUNDS = 8  # each with other rows disturbed: two rows escape being told apart with a chance of 2 ** -8
COINCIDENCES = 3  # episodes that must all look unreset before it is called a defect


def check_vector_env(
    make_vector: Callable[[], VectorEnv],
    make_single: Callable[[int], Env] | None = None,
    *,
    steps: int = 200,
    seed: int = 0,
) -> None:
    """Raise `VectorEnvError` with the first broken promise; a few rows are enough, and quicker than many.

    What only a single environment can tell (a reset that forgets part of the state, say) is checked where
    `make_single` is given. Where it is not, two things that may be meant are warnings: that no seed changes
    anything, and that all rows are copies of one. Rows may share a random stream for their resets, so
    rows are compared with themselves only until an episode ends.

    Args:
        make_vector: builds a fresh copy of the vector environment.
        make_single: builds row i's single environment; row i seeded `seed + i` must equal it, step for step.
        steps: random actions in each play.
        seed: of the environments and of the actions.
    """
    if steps < 1:
        raise ValueError(f"Expected steps >= 1, got {steps}.")
    with ExitStack() as stack:

        def build(make: Callable[[], VectorEnv]) -> VectorEnv:
            env = make()
            stack.callback(close_quietly, env)
            return env

        env, twin_env = build(make_vector), build(make_vector)
        if env is twin_env:
            raise VectorEnvError("Expected make_vector to build a fresh copy each time, got the same object twice.")
        check_attributes(env)
        first, second = Recorder(env), Recorder(twin_env)
        actions = sample_actions(env.action_space, steps, seed)
        others = sample_actions(env.action_space, steps, seed + 1)

        promise, remedy = "two copies with one seed and the same actions to agree", "draw from the seed alone"
        check_equal_plays(first, second, actions, seed, promise, remedy)
        second.play_until_done(actions, seed + 1)
        promise, remedy = "a second reset with one seed to give the same again", "start everything afresh"
        check_equal_plays(first, second, actions, seed, promise, remedy)
        check_scribbling(first, Recorder(build(make_vector), scribble=True), actions, seed)
        check_autoreset(first, actions, seed)
        check_rows_independent(first, second, actions, others, seed)
        if first.mode is AutoresetMode.NEXT_STEP:
            check_reset_step_ignores_actions(first, second, actions, others, seed)
        if first.mode is AutoresetMode.DISABLED:
            check_reset_mask(first, second, actions, seed)
        if make_single is None:
            warn_of_copies(first, second, actions, seed)
        else:
            singles = [partial(make_single, row) for row in range(env.num_envs)]
            reference = build(partial(SyncVectorEnv, singles, autoreset_mode=first.mode))
            check_equal_to_singles(first, Recorder(reference), actions, seed)
        check_close(twin_env)


def check_attributes(env: VectorEnv) -> None:
    """The spaces, the autoreset mode and the names of reset's arguments."""
    if not isinstance(env, VectorEnv):
        raise VectorEnvError(f"Expected a gymnasium.vector.VectorEnv, got a {type(env).__name__}: derive from it.")
    if not isinstance(getattr(env, "num_envs", None), int) or env.num_envs < 1:
        raise VectorEnvError(f"Expected num_envs to be an int of 1 or more, got {getattr(env, 'num_envs', None)!r}.")
    for kind in ("observation", "action"):
        single, batch = getattr(env, f"single_{kind}_space", None), getattr(env, f"{kind}_space", None)
        if not isinstance(single, Space) or batch != batch_space(single, env.num_envs):
            raise VectorEnvError(
                f"Expected {kind}_space to be batch_space(single_{kind}_space, {env.num_envs}), "
                f"got {batch} for {single}: use gymnasium.vector.utils.batch_space."
            )
    mode = env.metadata.get("autoreset_mode")
    if not isinstance(mode, AutoresetMode):
        raise VectorEnvError(
            f"Expected metadata['autoreset_mode'] to be a gymnasium.vector.AutoresetMode, got {mode!r}: "
            "set it, for instance to AutoresetMode.SAME_STEP; learners read it."
        )
    try:
        inspect.signature(env.reset).bind(seed=0, options=None)
        inspect.signature(env.reset).bind()
    except TypeError as error:
        raise VectorEnvError(
            f"Expected reset(self, *, seed=None, options=None), got reset{inspect.signature(env.reset)}: "
            f"{error}, so use these names."
        ) from error


def check_equal_plays(first: Recorder, second: Recorder, actions: list, seed: int, promise: str, remedy: str) -> None:
    """Both give the same, all of it, at every call."""
    for call, (a, b) in enumerate(zip(first.play(actions, seed), second.play(actions, seed), strict=True)):
        require_same(vars(a), vars(b), f"{promise} at call {call}", remedy)


def check_scribbling(first: Recorder, scribbled: Recorder, actions: list, seed: int) -> None:
    """What a caller writes into returned arrays never reaches the environment."""
    promise = "an environment to be unmoved by a caller who writes into the arrays returned"
    remedy = "return copies, not views of its own storage"
    try:
        check_equal_plays(first, scribbled, actions, seed, promise, remedy)
    except VectorEnvError:
        raise
    except Exception as error:
        raise VectorEnvError(f"Expected {promise}, but it raised {error!r}: {remedy}.") from error


def check_rows_independent(first: Recorder, second: Recorder, actions: list, others: list, seed: int) -> None:
    """Other actions in some rows change nothing in the rest, until an episode ends."""
    rng = np.random.default_rng(seed)
    for turn in range(ROUNDS if first.num_envs > 1 else 0):
        disturbed = random_rows(first.num_envs, rng)
        first.reset(seed=seed + turn)
        second.reset(seed=seed + turn)
        for action, other in zip(actions, others, strict=True):
            a = first.step(action)
            b = second.step(exchange_rows(first.env, action, other, disturbed))
            expected, got = first.outcomes(a), second.outcomes(b)
            for row in np.flatnonzero(~disturbed):
                promise = f"row {row} to be independent of the actions of other rows"
                remedy = "compute each row from its own state and action"
                require_same(expected[row], got[row], promise, remedy)
            if a.done.any() or b.done.any():
                break


def check_autoreset(recorder: Recorder, actions: list, seed: int) -> None:
    """Ended episodes are followed by new ones, in the way that the autoreset mode says."""
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
            f"No episode ended and was reset in {len(actions)} steps, so autoreset is unchecked: take more.",
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
            f"but it was taken: raise an error unless it is bool and of shape ({first.num_envs},)."
        )


def check_mask_leaves_rows_alone(
    first: Recorder, second: Recorder, actions: list, played: int, seed: int, mask: np.ndarray
) -> None:
    """DISABLED: after `played` steps and a reset of the rows in `mask`, the others go on as without it."""
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


def check_equal_to_singles(recorder: Recorder, reference: Recorder, actions: list, seed: int) -> None:
    """Row i seeded `seed + i` equals its single environment, also after a later reset without a seed.

    Infos may be left out of rows that have not ended.
    """
    for kind in ("observation", "action"):
        expected, got = (getattr(each.env, f"single_{kind}_space") for each in (reference, recorder))
        if expected != got:
            raise VectorEnvError(f"Expected the single environment's {kind}_space, {expected}, got {got}.")
    for play_seed in (seed, None):
        plays = zip(reference.play(actions, play_seed), recorder.play(actions, play_seed), strict=True)
        for call, (a, b) in enumerate(plays):
            expected_rows, rows = reference.rows(a.observations), recorder.rows(b.observations)
            expected_outcomes, outcomes = reference.outcomes(a), recorder.outcomes(b)
            for row in range(recorder.num_envs):
                expected, outcome = expected_outcomes[row], outcomes[row]
                if not b.done[row]:
                    expected["info"] = given(expected["info"], outcome["info"])
                infos = row_info(b.infos, row)
                promise = f"row {row} to equal its single environment seeded {seed + row} at call {call}"
                remedy = "compute every row as the single environment does"
                require_same(expected, outcome, promise, remedy)
                require_same(expected_rows[row], rows[row], promise, remedy, "observation")
                require_same(given(row_info(a.infos, row), infos), infos, promise, remedy, "infos")


def warn_of_copies(first: Recorder, second: Recorder, actions: list, seed: int) -> None:
    """Warn where no seed changes anything, or where all rows are copies of one."""
    plays = (zip(first.play(actions, seed), second.play(actions, seed + k), strict=True) for k in range(1, 5))
    if not any(difference(vars(a), vars(b)) for pairs in plays for a, b in pairs):
        warnings.warn("Five seeds gave the same play: right only if nothing here is random.", stacklevel=3)
    if first.num_envs == 1:
        return
    first_rows = (next(iter(iterate(first.env.action_space, action))) for action in actions)
    same_actions = [join_rows(first.env, [row] * first.num_envs) for row in first_rows]
    results = (first.rows(result.observations) for result in first.play(same_actions, seed))
    if not any(difference(rows[0], row) for rows in results for row in rows[1:]):
        warnings.warn(
            "Given the same actions, all rows are copies of one: right only if nothing here is random; "
            "seed row i with seed + i.",
            stacklevel=3,
        )


def check_close(env: VectorEnv) -> None:
    """Closing twice is closing once."""
    try:
        env.close()
        env.close()
    except Exception as error:
        raise VectorEnvError(
            f"Expected close to work, and a second one to do nothing, but it raised {error!r}: "
            "return where closed already."
        ) from error


def close_quietly(env: VectorEnv) -> None:
    """Close what a check leaves behind, so that its own message is the one seen."""
    with suppress(Exception):
        env.close()


def sample_actions(space: Space, steps: int, seed: int) -> list[Any]:
    """Random batches of actions from a copy of the space."""
    space = deepcopy(space)
    space.seed(seed)
    return [space.sample() for _ in range(steps)]


def exchange_rows(env: VectorEnv, actions: Any, others: Any, mask: np.ndarray) -> Any:
    """`actions` with the rows in `mask` taken from `others`."""
    rows = zip(iterate(env.action_space, actions), iterate(env.action_space, others), mask, strict=True)
    return join_rows(env, [other if exchanged else row for row, other, exchanged in rows])


def join_rows(env: VectorEnv, rows: list[Any]) -> Any:
    """A batch of actions made of `B` single ones."""
    empty: Any = create_empty_array(env.single_action_space, n=env.num_envs)
    return concatenate(env.single_action_space, rows, empty)


def given(info: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """The part of `info` that has one of `keys`."""
    return {key: value for key, value in info.items() if key in keys}


def random_rows(num_envs: int, rng: np.random.Generator) -> np.ndarray:
    """`[B]` a random choice of rows: at least one, and never all."""
    while True:
        mask = rng.random(num_envs) < 0.5
        if mask.any() and not mask.all():
            return mask
