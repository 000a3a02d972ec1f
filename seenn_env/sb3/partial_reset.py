"""Which `NEXT_STEP` vector environments can reset single rows now."""

from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv


def resets_rows(vector_env: VectorEnv) -> bool:
    """Whether `reset(options={"reset_mask": mask})` resets just those rows: in Gymnasium's own environments only."""
    base = vector_env.unwrapped
    # Without shared memory, an AsyncVectorEnv's workers reset once more in the step after a partial reset.
    return isinstance(base, SyncVectorEnv) or (isinstance(base, AsyncVectorEnv) and base.shared_memory)
