"""Spiking networks with explicit state: build, train, freeze, step."""

from backbones.data.transforms.augmentation import Augmentation
from backbones.networks.building import build
from backbones.networks.checkpoint import load, save
from backbones.contract.check import BackboneError, check_backbone
from backbones.data.loading import load_dataset
from backbones.energy.metered import EnergyModel, Metered, MeteredState
from backbones.errors import InputError, unknown_name
from backbones.contract.inputs import check_images
from backbones.inference.form import InferenceNetwork
from backbones.argument_checks import check_kinds
from backbones.networks.network import SpikingNetwork
from backbones.networks.neurons.neuron import IF, LIF
from backbones.machine.processes import Crew, joined
from backbones.contract.protocol import Backbone, Probed, State
from backbones.contract.running import accuracy, make_keys, probe, probe_sizes, run, run_probed
from backbones.contract.slot_pool import SlotPool
from backbones.data.samples import SPLITS, Samples, Splits, check_fit
from backbones.energy.operations import NEUROBENCH, Operations, count_operations
from backbones.tensor_files import load_tensor_file, save_tensor_file
from backbones.machine.threads import torch_threads

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
