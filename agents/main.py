"""The command `seenn`.

Its packages are imported in `main` alone, so that Ctrl-C ends in one line from the start.
"""

import contextlib
import io
import os
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from backbones.errors import InputError


def parse(arguments: Sequence[str] | None) -> Any:
    """The command that the arguments name, with its options; exits with 2 and one sentence where they are bad."""
    from tyro.extras import subcommand_cli_from_dict

    from agents.commands.table import COMMANDS

    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return subcommand_cli_from_dict(
                COMMANDS, prog="seenn", args=arguments, description="Spiking networks that know when to stop."
            )
    except SystemExit as stop:
        if stop.code == 2:  # tyro draws a box around its sentences
            words = re.sub(r"[─━═╭╮╰╯│|]|-{4,}", " ", errors.getvalue())
            words = re.sub(r"^\s*\w+ \w+\s*$|Error parsing \S+:", "", words, count=2, flags=re.MULTILINE)
            print("seenn:", " ".join(words.split()), file=sys.stderr)
        raise


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exits with 0, 1 (the run failed), 2 (bad arguments, one sentence) or 130 (stopped by Ctrl-C)."""
    # PyTorch takes large memory pages if this is set before its first tensor: clearing small ones for every layer
    # takes a good part of a training step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    command: Any = None
    try:
        command = parse(arguments)
        command.run()
    except KeyboardInterrupt:
        resumes = getattr(command, "resumes", False)
        below_a_bar = "\n" if sys.stderr.isatty() else ""
        then = "goes on from there" if resumes else "begins anew"
        print(f"{below_a_bar}seenn: stopped; the same command {then}.", file=sys.stderr)
        exec("")  # else `python -m` ends by SIGINT if it stopped another exec, such as the making of a dataclass
        sys.exit(130)
    except InputError as error:
        print(f"seenn: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception:
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main()
