from .energy import synaptic_operations, with_energy
from .fields import ROW_FIELDS, image_places
from .file import write_tensors
from .partial import batches_done, delete_recording
from .recording import record
from .traces import PACKAGED, Traces

__all__ = [
    "PACKAGED",
    "ROW_FIELDS",
    "Traces",
    "batches_done",
    "delete_recording",
    "image_places",
    "record",
    "synaptic_operations",
    "with_energy",
    "write_tensors",
]
