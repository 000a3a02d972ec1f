from .classification import Answer, Classification, answers, classify
from .onnx import export

__all__ = [
    "Answer",
    "Classification",
    "answers",
    "classify",
    "export",
]
