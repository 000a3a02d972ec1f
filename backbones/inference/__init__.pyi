from .form import InferenceNetwork
from .onnx import network_files, runner, to_onnx, write_files

__all__ = [
    "InferenceNetwork",
    "network_files",
    "runner",
    "to_onnx",
    "write_files",
]
