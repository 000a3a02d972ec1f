from .classification import Answer, Classification, answers, classify
from .energy import counted, sample_of
from .onnx import export

__all__ = [
    "Answer",
    "Classification",
    "answers",
    "classify",
    "counted",
    "export",
    "sample_of",
]
