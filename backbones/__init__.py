"""Spiking networks with explicit state: build, train, freeze, step."""

from backbones.augmentation import Augmentation
from backbones.building import build
from backbones.checkpoints import load, save
from backbones.contract import BackboneError, check_backbone
from backbones.datasets import load_dataset
from backbones.energy import EnergyModel, Metered, MeteredState
from backbones.errors import InputError, unknown_name
from backbones.images import check_images
from backbones.inference import InferenceNetwork
from backbones.kinds import check_kinds
from backbones.network import SpikingNetwork
from backbones.neurons import IF, LIF
from backbones.processes import Crew, joined
from backbones.protocol import Backbone, Probed, State
from backbones.running import accuracy, make_keys, probe, probe_sizes, run, run_probed
from backbones.slot_pool import SlotPool
from backbones.splits import SPLITS, Samples, Splits, check_fit
from backbones.synaptic_operations import NEUROBENCH, Operations, count_operations
from backbones.tensor_files import load_tensor_file, save_tensor_file
from backbones.threads import torch_threads

__all__ = [
    "IF",
    "LIF",
    "NEUROBENCH",
    "SPLITS",
    "Augmentation",
    "Backbone",
    "BackboneError",
    "Crew",
    "EnergyModel",
    "InferenceNetwork",
    "InputError",
    "Metered",
    "MeteredState",
    "Operations",
    "Probed",
    "Samples",
    "SlotPool",
    "SpikingNetwork",
    "Splits",
    "State",
    "accuracy",
    "build",
    "check_backbone",
    "check_fit",
    "check_images",
    "check_kinds",
    "count_operations",
    "joined",
    "load",
    "load_dataset",
    "load_tensor_file",
    "make_keys",
    "probe",
    "probe_sizes",
    "run",
    "run_probed",
    "save",
    "save_tensor_file",
    "torch_threads",
    "unknown_name",
]
