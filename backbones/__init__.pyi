from .adapters.wrapping import wrap
from .contract.check import check_backbone
from .contract.protocol import Backbone
from .contract.slot_pool import SlotPool
from .conversion.converter import convert
from .data.loading import load_dataset
from .data.samples import Samples, Splits
from .errors import InputError
from .networks.building import build
from .networks.checkpoint import load, save
from .networks.neurons.neuron import LIF
from .training.config import TrainingConfig
from .training.loop import train

__all__ = [
    "LIF",
    "Backbone",
    "InputError",
    "Samples",
    "SlotPool",
    "Splits",
    "TrainingConfig",
    "build",
    "check_backbone",
    "convert",
    "load",
    "load_dataset",
    "save",
    "train",
    "wrap",
]
