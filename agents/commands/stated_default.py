"""Options whose default is stated in their description, so that `--help` shows no other."""

from typing import Annotated, TypeVar

import tyro

T = TypeVar("T")
Stated = Annotated[T, tyro.conf.arg(help_behavior_hint="")]
