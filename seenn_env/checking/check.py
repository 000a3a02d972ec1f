"""The checker of vector environments: `check_vector_env` raises the first broken promise.

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
from gymnasium.vector.utils import batch_space, iterate

from backbones.argument_checks import Natural, Positive, check_kinds
from backbones.errors import shown, users_own
from seenn_env.checking.autoreset import (
    ROUNDS,
    check_autoreset,
    check_reset_mask,
    check_reset_step_ignores_actions,
    exchange_rows,
    join_rows,
    random_rows,
)
from seenn_env.checking.results import Recorder, VectorEnvError, difference, require_same, row_info


@check_kinds
def check_vector_env(
    make_vector: Callable[[], VectorEnv],
    make_single: Callable[[int], Env] | None = None,
    *,
    steps: Positive = 200,
    seed: Natural = 0,
) -> None:
    """Raise `VectorEnvError` with the first broken promise; a few rows are enough, and quicker than many.

    Comparison with single environments (of a reset that forgets part of the state, say) needs `make_single`. Without
    it, two possible defects are warnings: no seed changes anything, and all rows are copies of one. Rows may share a
    random stream for their resets, so a row is compared with itself until an episode ends.

    Args:
        make_vector: builds a fresh copy of the vector environment.
        make_single: builds row i's single environment; row i seeded `seed + i` must equal it, step for step.
        steps: random actions in each play.
        seed: of the environments and of the actions.
    """
    with ExitStack() as stack:

        def build(make: Callable[[], VectorEnv]) -> VectorEnv:
            with users_own(f"{shown(make)} to make an environment"):
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
            singles = [partial(checked_single, make_single, row) for row in range(env.num_envs)]
            reference = build(partial(SyncVectorEnv, singles, autoreset_mode=first.mode))
            check_equal_to_singles(first, Recorder(reference), actions, seed)
        check_close(twin_env)


def checked_single(make: Callable[[int], Env], row: int) -> Env:
    """Row's single environment; a `VectorEnvError` for something else."""
    env = make(row)
    if not isinstance(env, Env):
        raise VectorEnvError(f"Expected make_single to build a gymnasium.Env, got {type(env).__name__}.")
    return env


def check_attributes(env: VectorEnv) -> None:
    """The spaces, the autoreset mode and the names of reset's arguments."""
    if not isinstance(env, VectorEnv):
        raise VectorEnvError(f"Expected a gymnasium.vector.VectorEnv, got {type(env).__name__}: derive from it.")
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
    """Writing into returned arrays does not change the environment."""
    promise = "an environment to be unmoved by a caller who writes into the arrays returned"
    remedy = "return copies, not views of its own storage"
    try:
        check_equal_plays(first, scribbled, actions, seed, promise, remedy)
    except VectorEnvError:
        raise
    except Exception as error:
        raise VectorEnvError(f"Expected {promise}, but it raised {error!r}: {remedy}.") from error


def check_rows_independent(first: Recorder, second: Recorder, actions: list, others: list, seed: int) -> None:
    """Other actions in some rows do not change the others, until an episode ends."""
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


def check_equal_to_singles(recorder: Recorder, reference: Recorder, actions: list, seed: int) -> None:
    """Row i seeded `seed + i` equals its single environment, also after a later reset without a seed.

    Rows that have not ended may omit infos.
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
                    expected["info"] = with_keys_of(expected["info"], outcome["info"])
                infos = row_info(b.infos, row)
                promise = f"row {row} to equal its single environment seeded {seed + row} at call {call}"
                remedy = "compute every row as the single environment does"
                require_same(expected, outcome, promise, remedy)
                require_same(expected_rows[row], rows[row], promise, remedy, "observation")
                require_same(with_keys_of(row_info(a.infos, row), infos), infos, promise, remedy, "infos")


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
    """`close` works, and does nothing a second time."""
    try:
        env.close()
        env.close()
    except Exception as error:
        raise VectorEnvError(
            f"Expected close to work, and a second one to do nothing, but it raised {error!r}: "
            "return where closed already."
        ) from error


def close_quietly(env: VectorEnv) -> None:
    """Close an environment without an error that would hide the check's own."""
    with suppress(Exception):
        env.close()


def sample_actions(space: Space, steps: int, seed: int) -> list[Any]:
    """Random batches of actions from a copy of the space."""
    space = deepcopy(space)
    space.seed(seed)
    return [space.sample() for _ in range(steps)]


def with_keys_of(info: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """The part of `info` that has one of `keys`."""
    return {key: value for key, value in info.items() if key in keys}
