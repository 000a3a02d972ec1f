"""Packaged files by name: traces ("digits") and the backbones that they were recorded from."""

import re
from pathlib import Path

from backbones.errors import unknown_name

_DATA = Path(__file__).parents[1] / "data"
_NAME = re.compile(r"[\w-]+")
_ENDINGS = {"traces": ".safetensors", "backbone": "-backbone.safetensors"}


def packaged_file(kind: str, name: str | Path) -> Path:
    """The packaged file of that name, or the path of another file.

    Args:
        kind: "traces" or "backbone".
        name: of a packaged file, unless it has a suffix or is a file itself.

    Raises:
        InputError: for an unknown name.
    """
    file = Path(name)
    if file.suffix or file.exists():
        return file
    if not is_packaged(kind, name):
        known = [path.name.split(".")[0].removesuffix("-backbone") for path in _DATA.glob("*" + _ENDINGS[kind])]
        raise unknown_name(f"{kind} (or a file)", str(name), set(known))
    return _DATA / f"{name}{_ENDINGS[kind]}"


def is_packaged(kind: str, name: object) -> bool:
    """Whether a name stands for a packaged file."""
    if not isinstance(name, str | Path) or not _NAME.fullmatch(str(name)) or str(name).endswith("-backbone"):
        return False
    return (_DATA / f"{name}{_ENDINGS[kind]}").is_file()
