"""Transforms of images: augmentation and corruption."""
