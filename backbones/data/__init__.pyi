from .frame_file import read_frames, save_frames
from .image_folder.layout import SUFFIXES, folders_of_classes, images_below
from .image_folder.pixels import IMAGE_ERRORS, read_pixels
from .loading import load_dataset
from .samples import SPLITS, Division, Samples, Splits, Whole, check_division, check_fit, stratified_split
from .torchvision_sets import read_torchvision
from .transforms.augmentation import Augmentation
from .transforms.corruptions import corrupt

__all__ = [
    "IMAGE_ERRORS",
    "SPLITS",
    "SUFFIXES",
    "Augmentation",
    "Division",
    "Samples",
    "Splits",
    "Whole",
    "check_division",
    "check_fit",
    "corrupt",
    "folders_of_classes",
    "images_below",
    "load_dataset",
    "read_frames",
    "read_pixels",
    "read_torchvision",
    "save_frames",
    "stratified_split",
]
