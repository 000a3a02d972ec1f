"""The neuron of converted networks, whose mean output is the activation."""

from typing import Any

from torch import Tensor

from backbones.networks.neurons.neuron import LIF


class ConvertedIF(LIF):
    """Integrate-and-fire with soft reset whose spikes have the height of the threshold θ (Bu et al., ICLR 2022).

        v ← v + current                                  integrate; v starts at θ/2
        s = θ if v ≥ θ else 0                            fire
        v ← v - s                                        reset

    The mean of T spikes of a constant current z is θ·clip(floor(z·T/θ + ½)/T, 0, 1): the activation QCFS
    with T levels. No weight is rescaled; weights, norms and shortcuts are those of the network without time.

    Args:
        v_threshold: θ, above 0.
    """

    def __init__(self, v_threshold: float = 1.0) -> None:
        surrogate = {"gamma": v_threshold}
        super().__init__(1.0, v_threshold, None, v_init=v_threshold / 2, inclusive=True, surrogate_options=surrogate)
        self.height = v_threshold

    def settings(self) -> dict[str, Any]:
        """See `LIF.settings`."""
        return {"v_threshold": self.v_threshold}

    def fire(self, v: Tensor) -> Tensor:
        """Spikes of a potential: 0 or θ."""
        return super().fire(v) * self.v_threshold

    def reset(self, v: Tensor, spikes: Tensor) -> Tensor:
        """The potential after the spikes."""
        return v - spikes
