from .metered import EnergyModel, Metered, MeteredState
from .operations import NEUROBENCH, Operations, count_operations

__all__ = [
    "NEUROBENCH",
    "EnergyModel",
    "Metered",
    "MeteredState",
    "Operations",
    "count_operations",
]
