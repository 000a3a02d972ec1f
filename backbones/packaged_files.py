"""Packaged files by name: "digits" is a backbone, and the name of traces recorded from it."""

import os
from pathlib import Path

from backbones.errors import unknown_name

BACKBONES = Path(__file__).parent / "packaged"


def packaged_file(name: str | Path, folder: Path, kind: str) -> Path:
    """The packaged file of that name in a folder, or the path of another file, which has a suffix or exists.

    An `InputError` for an unknown name says its `kind`.
    """
    file = Path(name)
    if file.suffix or os.path.exists(file):
        return file
    if not is_packaged(name, folder):
        raise unknown_name(f"{kind} (or a file)", str(name), {path.stem for path in folder.glob("*.safetensors")})
    return folder / f"{name}.safetensors"


def is_packaged(name: object, folder: Path = BACKBONES) -> bool:
    """Whether a name stands for a packaged file."""
    return isinstance(name, str | Path) and any(path.stem == str(name) for path in folder.glob("*.safetensors"))
