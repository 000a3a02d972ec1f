from .check import BackboneError, check_backbone
from .inputs import as_tensor, channels_advice, check_images, encoding_of
from .keys import make_keys
from .protocol import Backbone, Probed, State
from .running import accuracy, check_protocol, probe, probe_sizes, run, run_probed
from .slot_pool import SlotPool

__all__ = [
    "Backbone",
    "BackboneError",
    "Probed",
    "SlotPool",
    "State",
    "accuracy",
    "as_tensor",
    "channels_advice",
    "check_backbone",
    "check_images",
    "check_protocol",
    "encoding_of",
    "make_keys",
    "probe",
    "probe_sizes",
    "run",
    "run_probed",
]
