"""Optimization of a network for inference, and comparison of the form with the plain network.

    fast = network.optimize(dtype="bfloat16", calibration=splits.calibration)
    fast.report.agreement, fast.report.accuracy_before, fast.report.accuracy_after

Letters: N samples, T timesteps.
"""

import math

import numpy as np

from backbones.argument_checks import Fraction, check_kinds
from backbones.contract.keys import make_keys
from backbones.contract.protocol import Backbone
from backbones.contract.running import run
from backbones.data.samples import Samples
from backbones.errors import InputError
from backbones.networks.inference.inference_network import Dtype, InferenceNetwork, Report
from backbones.networks.stepped_network import plain_network


@check_kinds
def optimize(
    network: Backbone,
    *,
    dtype: Dtype = "float32",
    channels_last: bool = True,
    compile: bool = False,
    winograd: bool = False,
    calibration: Samples | None = None,
    min_agreement: Fraction | None = 0.999,
) -> InferenceNetwork:
    """The network in the form for inference: norms folded, memory reused.

    Forms round differently, and a rounding can flip a spike: each has its own fingerprint.

    Args:
        network: a plain network, which is copied.
        dtype: of the convolutions: "float32" or "bfloat16" (slower than float32 on processors that do not
            compute in it). Potentials, readout and head stay in float32.
        channels_last: the fastest layout for convolutions on CPUs and tensor cores.
        compile: `torch.compile` a step; needs a C++ compiler.
        winograd: convolutions of many channels on images of up to 8×8 by Winograd's F(4×4, 3×3), with a quarter of
            the multiplications (on a CPU, in float32, channels_last and not compiled). They need 4 times the memory
            for weights, and round about ten times as much as direct ones.
        calibration: samples on which both forms are compared, with the result in `report`.
        min_agreement: smallest accepted fraction of equal predictions at any timestep, with the others rounded up to a
            whole number of samples (0.999 of 500 samples: one may differ); None accepts any.

    Raises:
        InputError: for a wrapped module, an unknown dtype, a form that agrees too little, `min_agreement` out of range,
            bfloat16 without calibration samples, or calibration on the split "test".
    """
    network = plain_network(network, "optimize")
    if calibration is None and dtype != "float32" and min_agreement is not None:
        raise InputError(
            f"Expected calibration samples to check {dtype} on, got none: pass calibration=…, or min_agreement=None."
        )
    if calibration is not None and calibration.split == "test":
        raise InputError("Expected samples of another split than 'test' for calibration: use splits.calibration.")
    fast = InferenceNetwork(network, dtype=dtype, channels_last=channels_last, compile=compile, winograd=winograd)
    if calibration is None:
        return fast
    fast.report = report = compare_forms(network, fast, calibration)
    least = float(report.agreement.min())
    if min_agreement is not None and not agrees(least, min_agreement, report.samples):
        before, after = report.accuracy_before[-1], report.accuracy_after[-1]
        raise InputError(
            f"Expected the form {fast.form!r} to agree on {min_agreement:.4f} of {report.samples} answers, got "
            f"{least:.4f} (accuracy {before:.4f} before, {after:.4f} after): choose another form, or a lower "
            "min_agreement."
        )
    return fast


def agrees(agreement: float, least: float, samples: int) -> bool:
    """Whether no more samples differ than `least` accepts, rounded up to a whole sample."""
    return round((1 - agreement) * samples) <= math.ceil(round((1 - least) * samples, 6))


def compare_forms(one: Backbone, other: Backbone, samples: Samples, *, batch_size: int = 128) -> Report:
    """Run two forms of a network over the same samples."""
    keys = make_keys(samples.index)
    runs = (run(backbone, samples.images, keys, batch_size=batch_size) for backbone in (one, other))
    same, right = np.zeros(one.timesteps), np.zeros((2, one.timesteps))
    for (rows, before), (_, after) in zip(*runs, strict=True):
        first, second = (logits.argmax(-1).cpu().numpy() for logits in (before, after))
        same += (first == second).sum(0)
        right += [(predictions == samples.labels[rows, None]).sum(0) for predictions in (first, second)]
    N = len(samples)
    return Report(same / N, right[0] / N, right[1] / N, N)
