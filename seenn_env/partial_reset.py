"""Which `NEXT_STEP` vector environments can reset single rows now, and Gymnasium's CartPole made to."""

from typing import Any

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv, VectorWrapper

from seenn_env.sub_environments import chain


class CartPoleWithPartialReset(VectorWrapper):
    """Gymnasium's native CartPole, able to reset some rows now, as its own next step would have done."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start every row, or those of `options["reset_mask"]` `[N]`."""
        if not options or "reset_mask" not in options:
            return self.env.reset(seed=seed, options=options)
        env: Any = self.env
        mask = options["reset_mask"]
        env.state[:, mask] = env.np_random.uniform(low=env.low, high=env.high, size=(4, mask.sum()))
        env.steps[mask] = 0
        env.prev_done[mask] = False
        return env.state.T.astype(np.float32), {}


def with_partial_reset(vector_env: VectorEnv) -> tuple[VectorEnv, bool]:
    """The environment, and whether `reset(options={"reset_mask": mask})` resets just those rows."""
    *wrappers, base = chain(vector_env)
    if type(base) is CartPoleVectorEnv:
        if not wrappers:
            return CartPoleWithPartialReset(base), True
        if not isinstance(wrappers[-1], CartPoleWithPartialReset):
            wrappers[-1].env = CartPoleWithPartialReset(base)
        return vector_env, True
    # Without shared memory, an AsyncVectorEnv's workers reset once more in the step after a partial reset.
    able = isinstance(base, SyncVectorEnv) or (isinstance(base, AsyncVectorEnv) and base.shared_memory)
    return vector_env, able
