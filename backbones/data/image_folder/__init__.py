"""Folders of image files: their layout and their pixels."""
