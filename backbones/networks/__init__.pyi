from .building import build
from .checkpoint import load, save
from .inference.inference_network import InferenceNetwork
from .kernels.winograd_training import faster_convolutions
from .network import SpikingNetwork
from .neurons.activations import QCFS
from .neurons.neuron import IF, LIF
from .norms import PER_TIMESTEP, ThresholdBatchNorm2d, TimestepBatchNorm2d
from .stepped_network import SteppedNetwork

__all__ = [
    "IF",
    "LIF",
    "PER_TIMESTEP",
    "QCFS",
    "InferenceNetwork",
    "SpikingNetwork",
    "SteppedNetwork",
    "ThresholdBatchNorm2d",
    "TimestepBatchNorm2d",
    "build",
    "faster_convolutions",
    "load",
    "save",
]
