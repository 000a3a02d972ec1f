from .building import build
from .checkpoint import load, save
from .kernels.winograd_training import faster_convolutions
from .network import SpikingNetwork
from .neurons.activations import QCFS
from .neurons.neuron import IF, LIF
from .norms import PER_TIMESTEP, ThresholdBatchNorm2d, TimestepBatchNorm2d

__all__ = [
    "IF",
    "LIF",
    "PER_TIMESTEP",
    "QCFS",
    "SpikingNetwork",
    "ThresholdBatchNorm2d",
    "TimestepBatchNorm2d",
    "build",
    "faster_convolutions",
    "load",
    "save",
]
