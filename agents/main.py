"""The command `seenn`."""

import contextlib
import io
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from agents.commands.benchmark.command import Benchmark
from agents.commands.classify import Classify
from agents.commands.compare import Compare
from agents.commands.convert import Convert
from agents.commands.headroom import HeadroomCommand
from agents.commands.quickstart import Quickstart
from agents.commands.record import Record
from agents.commands.train import Train
from agents.commands.train_backbone import TrainBackbone
from agents.commands.watch import Watch
from backbones import InputError

Command = (
    Annotated[Quickstart, tyro.conf.subcommand("quickstart", prefix_name=False)]
    | Annotated[TrainBackbone, tyro.conf.subcommand("train-backbone", prefix_name=False)]
    | Annotated[Convert, tyro.conf.subcommand("convert", prefix_name=False)]
    | Annotated[Record, tyro.conf.subcommand("record", prefix_name=False)]
    | Annotated[Train, tyro.conf.subcommand("train", prefix_name=False)]
    | Annotated[HeadroomCommand, tyro.conf.subcommand("headroom", prefix_name=False)]
    | Annotated[Compare, tyro.conf.subcommand("compare", prefix_name=False)]
    | Annotated[Classify, tyro.conf.subcommand("classify", prefix_name=False)]
    | Annotated[Watch, tyro.conf.subcommand("watch", prefix_name=False)]
    | Annotated[Benchmark, tyro.conf.subcommand("benchmark", prefix_name=False)]
)

CONTINUED = (Quickstart, TrainBackbone, Record)
"""Commands that go on where they were stopped."""


def parse(arguments: Sequence[str] | None) -> Any:
    """The command that the arguments name, with its settings; exits with 2 and one sentence where they are bad."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                Command, prog="seenn", args=arguments, description="Spiking networks that know when to stop."
            )
    except SystemExit as stop:
        if stop.code == 2:  # tyro draws a box around its sentences
            words = re.sub(r"[─━═╭╮╰╯│|]|-{4,}", " ", said.getvalue())
            words = re.sub(r"^\s*\w+ \w+\s*$|Error parsing \S+:", "", words, count=2, flags=re.MULTILINE)
            print("seenn:", " ".join(words.split()), file=sys.stderr)
        raise


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exits with 0, 1 (the run failed), 2 (bad arguments, one sentence) or 130 (stopped by Ctrl-C)."""
    # PyTorch asks for large memory pages if told so before its first tensor: clearing small ones for every
    # layer anew takes a good part of a training step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    command: Any = None
    try:
        command = parse(arguments)
        command.run()
    except KeyboardInterrupt:
        on = "the same command goes on from there" if isinstance(command, CONTINUED) else "the same command begins anew"
        below_a_bar = "\n" if sys.stderr.isatty() else ""
        print(f"{below_a_bar}seenn: stopped; {on}.", file=sys.stderr)
        sys.exit(130)
    except InputError as error:
        print(f"seenn: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main()
