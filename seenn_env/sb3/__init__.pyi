from .vec_env import to_sb3

__all__ = [
    "to_sb3",
]
