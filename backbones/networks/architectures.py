"""The table of architectures that `build` knows."""

from collections.abc import Callable
from typing import Any

from backbones.networks.feedforward import VGG11, VGG16, VGGSNN, small, vgg
from backbones.networks.graph import graph
from backbones.networks.residual import resnet, resnet9
from backbones.networks.stem_and_head import OPTIONS
from backbones.networks.stepped_network import MakeNeuron, Parts

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
