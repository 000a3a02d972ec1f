"""Conversion of a trained network without time to a spiking network of the same weights.

ann = build("resnet9", num_classes=10, timesteps=1, neuron="qcfs")       # and train it
network = convert(ann, timesteps=32)

network = convert(torchvision_model, images, timesteps=64)               # any ReLU network; images set its thresholds
"""

from typing import Annotated, Any, Literal

import numpy as np
from torch import Tensor, nn

from backbones.argument_checks import Above, AtMost, Positive, check_kinds
from backbones.contract.inputs import check_channels, check_images
from backbones.conversion.thresholds import thresholds_of
from backbones.conversion.tracing import Activations, MaxPool, as_images, trace
from backbones.data.samples import Samples
from backbones.errors import InputError
from backbones.networks.building import build
from backbones.networks.network import SpikingNetwork
from backbones.networks.neurons.activations import QCFS, Activation
from backbones.networks.neurons.neuron import LIF
from backbones.networks.stepped_network import SteppedNetwork, plain_network


@check_kinds
def convert(
    ann: nn.Module,
    images: Tensor | np.ndarray | Samples | None = None,
    *,
    timesteps: Positive = 32,
    method: Literal["max", "percentile"] | None = None,
    percentile: Annotated[float, Above(0), AtMost(100)] = 99.9,
    max_pool: MaxPool = "refuse",
    activations: Activations | None = None,
    mean: float | list[float] = 0.0,
    std: float | list[float] = 1.0,
    batch_size: Positive = 128,
) -> SpikingNetwork:
    """A spiking network with an IF neuron of soft reset for each activation of `ann`.

    The threshold θ of a neuron is the learned λ of its QCFS activation, or a percentile of its ReLU's values on
    `images` (threshold balancing: Diehl et al., IJCNN 2015; the percentile: Rueckauer et al., Frontiers in Neuroscience
    2017). It starts at θ/2 and its spikes have the height θ (see `ConvertedIF`), so the mean output over time
    approaches the output of `ann`, whose weights, norms and shortcuts are kept. Currents before the first activation
    are computed once an image.

    Args:
        ann: a network that `build` made with the neuron "qcfs" or "relu"; or any torch module that
            torch.fx can trace, of ReLUs (or QCFS modules) and linear layers (see `backbones.conversion.tracing.trace`).
        images: `[N, C, H, W]` uint8, or floats in [0, 1]: training images for the thresholds of ReLUs; QCFS networks
            need none.
        timesteps: T of the spiking network.
        method: "max" or "percentile" (default) for ReLUs; None for QCFS.
        percentile: of a layer's activations over all images and places, for its threshold.
        max_pool: treatment of max-pooling of spikes in a module: "refuse" it; "average": average pooling in its place,
            which is exact for another network than `ann` (train that one); or "spikes": the maximum of each timestep's
            spikes, which overestimates.
        activations: `{class: function(module) -> (λ, L)}` of a module's own QCFS activations that are not recognised
            by their outputs; each is checked to compute λ·clip(floor(z·L/λ + ½)/L, 0, 1).
        mean: of the intensities in [0, 1], subtracted from a module's inputs.
        std: of the intensities, by which they are divided.
        batch_size: images at once while thresholds are computed.

    Raises:
        InputError: for a network with another activation, an unsupported layer (by its path), a negative λ,
            missing images, an unknown method, or settings of modules for a network that `build` made.
    """
    timesteps = int(timesteps)
    if images is not None:
        images = as_images(images)
        check_images(images)
    if isinstance(ann, SteppedNetwork):
        _check_built(ann, {"max_pool": max_pool, "activations": activations, "mean": mean, "std": std})
    else:
        if images is None:
            raise InputError("Expected images [N, C, H, W] to set a module's thresholds on, got none.")
        check_channels(images)
        ann = trace(ann, images, max_pool=max_pool, activations=activations, mean=mean, std=std)
    by_path = activations_of(ann)
    learned = {path: a.threshold.item() for path, a in by_path.items() if isinstance(a, QCFS)}
    if learned:
        if method is not None:
            raise InputError(f"Expected no method for a QCFS network, whose thresholds are learned, got {method!r}.")
        for path, threshold in learned.items():
            if not threshold > 0:
                raise InputError(
                    f"Expected a λ above 0 of every activation, got {threshold:.3g} of {path}: train anew."
                )
        thresholds = learned
    else:
        if images is None:
            raise InputError("Expected images [N, C, H, W] to set the thresholds of ReLUs on, got none.")
        q = 100.0 if method == "max" else percentile
        thresholds = thresholds_of(ann, by_path, images, q, batch_size)
    config = {**ann.config, "timesteps": timesteps, "neuron": {"type": "converted-if", "thresholds": thresholds}}
    network = build(config.pop("network"), **config.pop("options"), **config)
    weights = {name: value for name, value in ann.state_dict().items() if name.rpartition(".")[0] not in by_path}
    network.load_state_dict(weights)
    network.division, network.class_names = ann.division, ann.class_names
    return network.to(ann.device)


def activations_of(network: SteppedNetwork) -> dict[str, Activation]:
    """The activations of a network without time, by path; an `InputError` for none, or neurons beside them."""
    activations: dict[str, Activation] = {}
    for path, module in network.named_modules():
        if isinstance(module, Activation):
            activations[path] = module
        elif isinstance(module, LIF):
            raise InputError(
                f"Expected a network without time (neuron 'qcfs' or 'relu') to convert, got one that spikes: "
                f"{path} is {type(module).__name__}."
            )
    if not activations:
        raise InputError("Expected a network with activations to convert, got one without any.")
    return activations


def _check_built(ann: SteppedNetwork, settings: dict[str, Any]) -> None:
    """Refuse a form for inference, and settings that only modules have."""
    plain_network(ann, "convert")
    unset = {"max_pool": "refuse", "activations": None, "mean": 0.0, "std": 1.0}
    for name, value in settings.items():
        if np.ndim(value) or value != unset[name]:
            raise InputError(
                f"Expected {name} for a torch module only, got it for a network that `build` made, which has its own."
            )
