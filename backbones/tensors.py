"""Recognition of tensors without importing PyTorch: a value can be one only where its maker has imported it."""

import sys
from typing import Any


def tensor_types() -> tuple[Any, ...]:
    """`(torch.Tensor,)`, or nothing as long as PyTorch is not imported."""
    torch = sys.modules.get("torch")
    return () if torch is None else (torch.Tensor,)


def is_tensor(value: Any) -> bool:
    """Whether a value is a tensor."""
    return isinstance(value, tensor_types())
