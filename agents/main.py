"""The command `seenn`."""

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import tyro

from agents.commands.compare import Compare
from agents.commands.quickstart import Quickstart
from agents.commands.record import Record
from agents.commands.train import Train
from agents.commands.train_backbone import TrainBackbone
from backbones import InputError

Command = (
    Annotated[Quickstart, tyro.conf.subcommand("quickstart", prefix_name=False)]
    | Annotated[TrainBackbone, tyro.conf.subcommand("train-backbone", prefix_name=False)]
    | Annotated[Record, tyro.conf.subcommand("record", prefix_name=False)]
    | Annotated[Train, tyro.conf.subcommand("train", prefix_name=False)]
    | Annotated[Compare, tyro.conf.subcommand("compare", prefix_name=False)]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exits with 0, 1 (the run failed) or 2 (bad arguments, one sentence)."""
    command = tyro.cli(
        Command,
        prog="seenn",
        args=arguments,
        description="Spiking networks that know when to stop.",
    )
    try:
        command.run()
    except InputError as error:
        print(f"seenn: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main()
