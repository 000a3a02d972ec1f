from .metered import Metered, MeteredState
from .model import EnergyModel
from .operations import NEUROBENCH, Operations, count_operations

__all__ = [
    "NEUROBENCH",
    "EnergyModel",
    "Metered",
    "MeteredState",
    "Operations",
    "count_operations",
]
