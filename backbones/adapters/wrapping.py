"""Backbones of other frameworks' modules.

backbone = wrap(module, splits.train.images[:8], timesteps=8)
"""

import copy
import importlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from backbones.adapters.backbone import AdaptedBackbone, ProbedBackbone, as_floats, refuse_training
from backbones.adapters.fingerprint import described
from backbones.adapters.passed_state import PassedState
from backbones.adapters.stepping import Layout, Output, Stepper
from backbones.adapters.undeclared_state import root_of
from backbones.argument_checks import Natural, Positive, check_kinds
from backbones.contract.check import BackboneError, check_backbone
from backbones.contract.inputs import as_tensor, check_channels, check_images
from backbones.contract.protocol import Backbone
from backbones.errors import InputError, unknown_name
from backbones.networks.encodings import make_encoding

FRAMEWORKS = {
    "spikingjelly": ("SpikingJelly", ("spikingjelly",)),
    "snntorch": ("snnTorch", ("snntorch",)),
    "norse": ("Norse", ("norse",)),
    "sinabs": ("sinabs", ("sinabs",)),
    "nir": ("NIR", ("nir", "nirtorch")),
}
"""Name (also of the extra) to its title and the packages that it needs."""


@check_kinds
def wrap(
    module: Any,
    example_inputs: Tensor | np.ndarray,
    timesteps: Positive,
    *,
    framework: str | None = None,
    encoding: str = "direct",
    encoding_seed: Natural = 0,
    output: Output = None,
    time_axis: Literal["auto", 0, 1] | None = "auto",
    hidden: str | None = None,
    dt: float | None = None,
    class_names: Sequence[str] = (),
    check: bool = True,
) -> AdaptedBackbone:
    """A `Backbone` of another framework's spiking module.

    The module is called once a timestep, in evaluation mode and without gradients; its outputs are averaged over the
    timesteps. Its weights are not copied, and its own state is restored.

    Args:
        module: of SpikingJelly, snnTorch, Norse, sinabs or plain torch; or a NIR graph, its path, or its module by
            `nirtorch.nir_to_torch`.
        example_inputs: `[B, …]` at least 4 different inputs, uint8 or floats, to find the state with.
        timesteps: T.
        framework: name of the framework (default: that of the module's layers); "torch" for a module of plain torch
            layers, `outputs, state = module(inputs, state)`, state None at first.
        encoding: of uint8 images (as floats in [0, 1]) or floats at each timestep: "direct", "poisson" or "latency";
            or "event" of inputs `[B, T, …]`, which have a frame for each timestep.
        encoding_seed: seed of a random encoding.
        output: part of a tuple of results that is the output `[B, K]`: "spikes" (the first), "membrane" (the last), or
            a function.
        time_axis: on which the module expects time: 0, 1, or None for a single timestep (default: as its layers do).
        hidden: path of a layer whose outputs are recorded as "hidden" `[B, F]`, averaged over space.
        dt: of a NIR graph: the length of a timestep in the unit of its time constants.
        class_names: `[K]`, which recordings and answers take over; no part of the fingerprint.
        check: run `check_backbone` on the example inputs.

    Raises:
        InputError: for a module that cannot be stepped row by row: without spiking layers, with state that belongs
            to the whole batch, with outputs of another shape, in training mode, or that breaks the contract.
    """
    if isinstance(module, Backbone):
        raise InputError(
            f"Expected another framework's module to wrap, got {type(module).__name__}, a backbone already."
        )
    example = as_tensor(example_inputs, "example inputs")
    if example.dim() < 2 or len(example) < 4:
        raise InputError(f"Expected at least 4 example inputs [B, …], got {list(example.shape)}.")
    name = framework or framework_of(module)
    adapter = _adapter(name)
    if name == "nir":
        module = adapter.to_module(module, dt)
    elif dt is not None:
        raise InputError(f"Expected dt for a NIR graph only, got dt={dt} for a module of {_title(name)}.")
    if not isinstance(module, nn.Module):
        raise InputError(f"Expected a torch module of {_title(name)}, got {type(module).__name__}.")
    refuse_training(module)
    if hidden is not None and hidden not in dict(module.named_modules()):
        raise unknown_name("layer as hidden", hidden, [path for path, _ in module.named_modules() if path])
    layout = Layout(adapter.default_time_axis(module) if time_axis == "auto" else time_axis, output, timesteps)
    frames = make_encoding(encoding, timesteps).frames
    if frames and (example.dim() < 3 or example.shape[1] != timesteps):
        raise InputError(f"Expected frames [B, {timesteps}, …] for the encoding 'event', got {list(example.shape)}.")
    check_images(example, make_encoding(encoding, timesteps), what="example inputs")
    if not frames:
        check_channels(example, "example inputs")
    shown = as_floats(example, module, counts=frames)
    with torch.no_grad():
        stepper: Stepper = adapter.make_stepper(module, shown[:, 0] if frames else shown, layout)
    settings = {"output": described(output), "time_axis": repr(layout.time_axis)}
    parts = (stepper, example, timesteps, (encoding, encoding_seed), settings)
    backbone = AdaptedBackbone(*parts) if hidden is None else ProbedBackbone(hidden, *parts)
    if len(class_names) not in (0, backbone.num_classes):
        raise InputError(f"Expected names of the module's {backbone.num_classes} classes, got {len(class_names)}.")
    backbone.class_names = tuple(class_names)

    def elsewhere(device: torch.device) -> AdaptedBackbone:
        options: dict[str, Any] = {"output": output, "time_axis": layout.time_axis, "hidden": hidden, "check": check}
        options |= {"framework": name, "encoding": encoding, "encoding_seed": encoding_seed, "class_names": class_names}
        return wrap(copy.deepcopy(module).to(device), example, timesteps, **options)

    backbone.elsewhere = elsewhere
    if check:
        try:
            backbone.rounding = check_backbone(backbone, example)
        except BackboneError as error:
            raise InputError(
                f"Expected {type(module).__name__} to keep the contract of a backbone, but {error} "
                "(check=False omits the check.)"
            ) from error
    return backbone


def framework_of(module: Any) -> str:
    """The name of the one framework whose layers a module has; else an `InputError`."""
    if isinstance(module, str | Path):
        return "nir"
    if not isinstance(module, nn.Module):
        if any(root_of(kind) == "nir" for kind in type(module).__mro__):
            return "nir"
        raise InputError(
            f"Expected a spiking torch module or a NIR graph, got {type(module).__name__}: "
            f"known are those of {', '.join(title for title, _ in FRAMEWORKS.values())}."
        )
    roots = {root_of(kind) for part in module.modules() for kind in type(part).__mro__}
    frameworks = [name for name in FRAMEWORKS if name in roots]
    # NIRTorch's wiring passes state on, unless its layers hold theirs.
    if isinstance(module, torch.fx.GraphModule) and frameworks in ([], ["norse"]):
        return "nir"
    if len(frameworks) == 1:
        return frameworks[0]
    if not frameworks:
        raise InputError(
            f"Expected a module with spiking layers of {', '.join(title for title, _ in FRAMEWORKS.values())}, got "
            f"{type(module).__name__} without any. Convert a network without time (convert); let a spiking one of "
            "plain torch run one timestep in each call and hand its state on, `outputs, state = module(inputs, state)` "
            "from state None, with any loop over time outside of it, and wrap it with framework='torch'."
        )
    raise InputError(
        f"Expected layers of one framework, got those of {' and '.join(FRAMEWORKS[name][0] for name in frameworks)}: "
        "set framework to the one that keeps the state, if the other's layers keep none."
    )


def _title(name: str) -> str:
    return FRAMEWORKS[name][0] if name in FRAMEWORKS else name


def _adapter(name: str) -> Any:
    """The adapter of that framework; an `InputError` for an unknown one, or one that is not installed."""
    if name == "torch":
        return SimpleNamespace(default_time_axis=lambda module: None, make_stepper=partial(PassedState, "torch"))
    if name not in FRAMEWORKS:
        raise unknown_name("framework", name, [*FRAMEWORKS, "torch"])
    title, packages = FRAMEWORKS[name]
    for package in packages:
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise InputError(
                f"Expected {title} to be installed, but {error.name} is not: pip install 'seenn-env[{name}]'."
            ) from error
    return importlib.import_module(f"backbones.adapters.frameworks.{name}")
