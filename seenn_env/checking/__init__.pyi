from .check import check_vector_env

__all__ = [
    "check_vector_env",
]
