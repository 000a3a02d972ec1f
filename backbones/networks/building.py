"""Networks by name.

backbone = build("small", num_classes=10, timesteps=8, encoding="poisson", input_shape=(1, 8, 8))
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch

from backbones.argument_checks import AtLeast, AtMost, Finite, Natural, check_kinds
from backbones.errors import InputError, counted, shown, unknown_name
from backbones.networks.feedforward import VGG11, VGG16, VGGSNN, small, vgg
from backbones.networks.graph import graph
from backbones.networks.network import SpikingNetwork
from backbones.networks.neurons.activations import ACTIVATIONS
from backbones.networks.neurons.converted import ConvertedIF
from backbones.networks.neurons.neuron import LIF, NEURONS
from backbones.networks.residual import resnet, resnet9
from backbones.networks.stem_and_head import OPTIONS
from backbones.networks.stepped_network import MakeNeuron, Parts

MOST_TIMESTEPS = 2**16
"""A file can ask for no more: T is in no shape of its weights."""
ARCHITECTURES: dict[str, tuple[Callable[[dict[str, Any], MakeNeuron], Parts], frozenset[str]]] = {
    "graph": (graph, frozenset({"nodes"})),
    "resnet9": (resnet9, OPTIONS),
    "resnet18": (resnet(64, (2, 2, 2, 2)), OPTIONS),
    "resnet19": (resnet(128, (3, 3, 2)), OPTIONS),
    "resnet20": (resnet(16, (3, 3, 3)), OPTIONS),
    "resnet34": (resnet(64, (3, 4, 6, 3)), OPTIONS),
    "small": (small, frozenset({"width"})),
    "vgg11": (vgg(VGG11), OPTIONS),
    "vgg16": (vgg(VGG16), OPTIONS),
    "vggsnn": (vgg(VGGSNN, pooled_side=3), OPTIONS),
}
"""Name: (maker of stem, body and head; names of its options)."""
KINDS: dict[str, type[LIF]] = {**NEURONS, **ACTIVATIONS, "converted-if": ConvertedIF}


@check_kinds
def build(
    network: str,
    *,
    num_classes: Annotated[int, AtLeast(2)],
    timesteps: Annotated[int, AtLeast(1), AtMost(MOST_TIMESTEPS)],
    input_shape: Sequence[int] = (3, 32, 32),
    encoding: str = "direct",
    encoding_seed: Natural = 0,
    neuron: str | dict[str, Any] | LIF = "lif",
    mean: Finite | Sequence[Finite] = 0.0,
    std: Finite | Sequence[Finite] = 1.0,
    seed: Natural = 0,
    **options: Any,
) -> SpikingNetwork:
    """A network with fresh weights, in evaluation mode.

    Args:
        network: name of an architecture.
        num_classes: K, at least 2.
        timesteps: T, at least 1.
        input_shape: (channels, height, width).
        encoding: "direct", "poisson", "latency", or "event": inputs `[B, T, C, H, W]` have a frame a timestep.
        encoding_seed: seed of a random encoding.
        neuron: "lif", "if" or "plif", or a neuron as an example (`LIF(decay=0.5)`), or its settings
            `{"type": "lif", "decay": 0.5, …}`, in which "thresholds", `{path: v_threshold}`, sets those of single
            layers. "qcfs" and "relu" are activations of networks without time (T = 1), for
            `backbones.conversion.converter.convert`.
        mean: of the intensities (one number or one a channel), subtracted where the encoding is direct.
        std: of the intensities, by which they are divided there.
        seed: of the initial weights.
        options: options of the architecture.
    """
    if network not in ARCHITECTURES:
        raise unknown_name("network", network, ARCHITECTURES)
    make_parts, known_options = ARCHITECTURES[network]
    for name in options:
        if name not in known_options:
            raise unknown_name(f"option of network {network!r}", name, known_options)
    width = options.get("width", 1)
    if not isinstance(width, int | np.integer) or isinstance(width, bool) or width < 1:
        raise InputError(f"Expected a width of at least 1, got {shown(width)}.")

    if len(input_shape) != 3 or min(input_shape) < 1:
        raise InputError(f"Expected input_shape=(channels, height, width), got {tuple(input_shape)}.")
    for name, values in (("mean", np.asarray(mean, np.float64)), ("std", np.asarray(std, np.float64))):
        if values.size not in (1, input_shape[0]):
            raise InputError(
                f"Expected {name} as one number, or one for each of {counted(input_shape[0], 'channel')}, got "
                f"{values.tolist()}."
            )
    if not (np.asarray(std) > 0).all():
        raise InputError(f"Expected std above 0, got {np.asarray(std).tolist()}.")
    config: dict[str, Any] = {
        "network": network,
        "num_classes": num_classes,
        "timesteps": timesteps,
        "input_shape": list(input_shape),
        "encoding": encoding,
        "encoding_seed": encoding_seed,
        "neuron": _neuron_config(neuron),
        "mean": mean if isinstance(mean, float | int) else list(mean),
        "std": std if isinstance(std, float | int) else list(std),
        "options": options,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        settings = {name: value for name, value in config["neuron"].items() if name != "thresholds"}
        if settings.get("type") in ACTIVATIONS and (timesteps != 1 or encoding != "direct"):
            raise InputError(
                f"Expected timesteps=1 and encoding='direct' with the activation {settings['type']!r}, got {timesteps} "
                f"and {encoding!r}: a network without time sees the image itself, once."
            )
        backbone = SpikingNetwork(config, *make_parts(config, lambda: make_neuron(settings)))
        for path, threshold in config["neuron"].get("thresholds", {}).items():
            try:
                backbone.set_submodule(path, make_neuron({**settings, "v_threshold": threshold}), strict=True)
            except AttributeError as error:
                raise InputError(f"Expected thresholds of the network's neurons, got one of {path!r}.") from error
    return backbone.eval()


def _neuron_config(neuron: Any) -> dict[str, Any]:
    """`{"type": name, **settings}` of a name, settings or a neuron (of which those that differ from the defaults)."""
    if isinstance(neuron, str):
        return {"type": neuron}
    if isinstance(neuron, Mapping) and "type" in neuron:
        return dict(neuron)
    name = next((name for name, kind in KINDS.items() if type(neuron) is kind), None)
    if name is None:
        raise InputError(
            f"Expected neuron to be a name, settings such as {{'type': 'lif', 'decay': 0.5}}, or a neuron of this "
            f"package, got {shown(neuron)}. Known: {', '.join(sorted(KINDS))}."
        )
    defaults = {**KINDS[name]().settings(), "v_init": neuron.v_rest}
    changed = {key: value for key, value in neuron.settings().items() if value != defaults[key]}
    return {"type": name, **changed}


def make_neuron(settings: dict[str, Any]) -> LIF:
    """A neuron from `{"type": name, **settings}`; an `InputError` for an unknown type or setting."""
    kind, rest = settings.get("type"), {k: v for k, v in settings.items() if k != "type"}
    if kind not in KINDS:
        raise unknown_name("neuron", kind, KINDS)
    try:
        return KINDS[kind](**rest)
    except TypeError as error:
        reason = str(error).rpartition("() ")[2]  # Python names __init__ before
        raise InputError(f"Expected settings of the neuron {kind!r}, got {shown(rest)}: {reason}.") from error
