"""Picojoules of counted operations.

Letters: B rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backbones.argument_checks import AboveZero, check_fields

if TYPE_CHECKING:
    from torch import Tensor

    from backbones.energy.operations import Operations


@dataclass(frozen=True)
class EnergyModel:
    """Picojoules of arithmetic in a 45 nm process at 0.9 V, 32-bit floating point.

    An addition takes 0.9 pJ and a multiplication 3.7 pJ (M. Horowitz, "Computing's energy problem (and what we can do
    about it)", ISSCC 2014, figure 1.1.9), so a multiply-accumulate takes 4.6 pJ. Memory is not in it. An `InputError`
    for a number that is not above 0.
    """

    pj_per_ac: AboveZero = 0.9
    """Of an accumulate: a spike's weight added to a membrane potential."""
    pj_per_mac: AboveZero = 4.6
    """Of a multiply-accumulate."""

    def __post_init__(self) -> None:
        check_fields(self)

    def pj(self, macs: Any, acs: Any) -> Any:
        """`pj_per_mac`·`macs` + `pj_per_ac`·`acs`, of numbers, arrays or tensors."""
        return self.pj_per_mac * macs + self.pj_per_ac * acs

    def energy_pj(self, operations: Operations) -> Tensor:
        """`[B]` float64: of effective MACs and effective ACs."""
        return self.pj(operations.effective_macs.double(), operations.effective_acs.double())
