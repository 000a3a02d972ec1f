"""The command `seenn`.

Its packages are imported in `main` alone, so that Ctrl-C ends in one line from the start.
"""

import contextlib
import importlib
import io
import os
import re
import shutil
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import GenericAlias
from typing import Any, get_args, get_origin

from backbones.errors import InputError, did_you_mean, first_line, unknown_name, users_own

_FEWEST_COLUMNS = 40
_PYTHONS_FORMAT = warnings.formatwarning
_OUT_OF_MEMORY = ("allocate memory", "start new thread", "failed to map segment")
"""Words of PyTorch, of threads and of the loader of libraries, whose errors are no `MemoryError`."""


def parse(arguments: Sequence[str]) -> Any:
    """The command that the arguments name, with its options; prints help or the version and exits with 0.

    Raises:
        InputError: for an unknown command, or bad options.
    """
    import tyro

    from agents.commands.table import COMMANDS

    name, *options = arguments or ["--help"]
    if name in ("-h", "--help"):
        _print_help(COMMANDS)
        sys.exit(0)
    if name == "--version":
        from importlib.metadata import version

        print("seenn", version("seenn-env"))
        sys.exit(0)
    if name == "--import":
        if not options:
            raise InputError("Expected the name of a module of yours after --import, got none.")
        module, *rest = options
        with users_own(f"a module that can be imported after --import, got {module!r}"):
            importlib.import_module(module)
        return parse(rest)
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    registry = tyro.constructors.ConstructorRegistry()
    registry.primitive_rule(_optional)
    registry.primitive_rule(_several)
    prog, refusal, explanation = f"seenn {name}", io.StringIO(), io.StringIO()
    cli = partial(tyro.cli, COMMANDS[name], prog=prog, registry=registry)
    try:
        with contextlib.redirect_stderr(refusal):
            return cli(args=options)
    except SystemExit as stop:
        if stop.code != 2:
            raise
    with contextlib.redirect_stdout(explanation), contextlib.suppress(SystemExit):
        cli(args=["--help"])
    known = re.findall(r"^[│| ]+(?:-h, )?(--[\w-]+)(?:, (--[\w-]+))?", explanation.getvalue(), re.MULTILINE)
    reason = _reason(refusal.getvalue(), options, [flag for flags in known for flag in flags])
    raise InputError(f"{reason} See {prog} --help.")


def _optional(about: Any) -> Any:
    """The specification of an option that is X or None: that of X, with the default shown as "none"."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    kinds = [kind for kind in get_args(about.type) if kind is not type(None)]
    if type(None) not in get_args(about.type) or len(kinds) != 1:
        return None
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kinds[0], about.markers))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return spec
    return replace(
        spec,
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: ["none"] if value is None else spec.str_from_instance(value),
    )


def _several(about: Any) -> Any:
    """The specification of an option that is a tuple of any length, with an empty default shown as "none"."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    kind, *rest = get_args(about.type) or [None]
    if get_origin(about.type) is not tuple or rest != [...]:
        return None
    several: Any = GenericAlias(list, kind)
    spec: Any = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(several, about.markers))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return spec
    return replace(
        spec,
        instance_from_str=lambda given: tuple(spec.instance_from_str(given)),
        is_instance=lambda value: isinstance(value, tuple) and spec.is_instance(list(value)),
        str_from_instance=lambda value: spec.str_from_instance(list(value)) or ["none"],
    )


def _print_help(commands: Any) -> None:
    print("usage: seenn COMMAND [OPTIONS]\n\nSpiking networks that know when to stop.\n\ncommands:")
    for name, command in commands.items():
        summary, *_ = command.__doc__.splitlines()
        print(f"  {name:<16}{summary}")
    print("\nseenn COMMAND --help explains a command, seenn --version prints the version.")
    print("seenn --import MODULE COMMAND imports a module of yours first, whose observation a saved policy reads.")
    print("\nExample, which takes two minutes:\n\n    seenn quickstart --output runs/quickstart")


def _reason(refusal: str, options: Sequence[str], known: Sequence[str]) -> str:
    """The reason for which tyro refuses options, out of the box that it draws, or an unknown option and its like."""
    for option in options:
        flag = option.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known:
            return f"Expected known options, got {flag}.{did_you_mean(flag, known, 0.6)}"
    plain = re.sub(r"\x1b\[[\d;]*m", "", refusal)
    _, reason, *_ = re.split(r"^╭.*$|^[^\w\n]{4,}$", plain, flags=re.MULTILINE)
    lines = [line.strip("│ ") for line in reason.strip().splitlines()]
    if lines[0].startswith("Missing from"):
        missing = [line.split()[0] for line in lines if line.startswith("--")]
        return f"Expected {' and '.join(missing)}, got none."
    text = " ".join(lines)
    if stray := re.match(r"Unrecognized options:", text):
        return f"Expected options that begin with --, got{text[stray.end() :] or ' an empty one'}."
    if choice := re.match(r"invalid choice (.*) for argument '(--[\w-]+)'\. Expected one of \((.*)\)", text):
        return f"Expected {choice[2]} to be one of {choice[3].rstrip(',')}, got {choice[1]}."
    if bad := re.match(r"Error parsing (--[\w-]+)|Missing value for argument '(--[\w-]+)'", text):
        given = _values_of(bad[1], options) if bad[1] else []
        found = " ".join(map(repr, given[:3])) or "none"
        return f"Expected a value of the right kind after {bad[1] or bad[2]}, got {found}."
    return re.sub(r"^Error parsing \w+: ", "", text).rstrip(".!") + "."


def _values_of(flag: str, options: Sequence[str]) -> list[str]:
    """The values of a flag, given as "--flag VALUE …" or "--flag=VALUE"."""
    values: list[str] = []
    last = ""
    for option in options:
        if option.startswith("--"):
            last, _, value = option.partition("=")
            values += [value] if value and last.replace("_", "-") == flag else []
        elif last.replace("_", "-") == flag:
            values.append(option)
    return values


class _Terminated(SystemExit):
    """SIGTERM."""


_stopped: list[int] = []
"""Exit code of the signal that stops the command: C code may turn its exception into another."""
_ENDING = 0
"""In `_stopped` from the sentence on: a further Ctrl-C is ignored."""


def _prepare_terminal() -> None:
    """Make closed, narrow and ASCII-only terminals, and SIGTERM, end as whole ones and Ctrl-C do."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the caller: else a file of the command takes its number
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if shutil.get_terminal_size().columns < _FEWEST_COLUMNS:
        os.environ["COLUMNS"] = str(_FEWEST_COLUMNS)  # tyro's help never ends in fewer
    if threading.current_thread() is threading.main_thread():
        _stopped.clear()
        signal.signal(signal.SIGTERM, _stop)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # of a job in the background, it is ignored
            signal.signal(signal.SIGINT, _stop)


class _StandardOutput:
    """Standard output, whose errors have its name."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> Any:
        return self._named(self._stream.write, text)

    def flush(self) -> None:
        self._named(self._stream.flush)

    @staticmethod
    def _named(call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except OSError as error:
            error.filename = "standard output"
            raise


def _discard_output() -> None:
    with contextlib.suppress(io.UnsupportedOperation):  # of a stream in memory
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes again when it exits


def _stop(number: int, _: Any) -> None:
    if number == signal.SIGINT and _ENDING in _stopped:
        return
    _stopped.append(128 + number)
    raise KeyboardInterrupt if number == signal.SIGINT else _Terminated(143)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Exits with 0, 1 (the run failed, or an input could not be used), 2 (bad arguments, one sentence), 130 (stopped by
    Ctrl-C), 141 (the reader of the output closed it, as `head` does) or 143 (stopped by SIGTERM).
    """
    # PyTorch takes large memory pages if this is set before its first tensor: clearing small ones for every layer
    # takes a good part of a training step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    _prepare_terminal()
    if "" not in sys.path:
        sys.path.append("")  # modules of the user's in the current folder, as for `python -m agents.main`
    if os.environ.get("NO_COLOR"):
        os.environ.setdefault("PYTHON_TYRO_ANSI_CODES", "False")
    typed = sys.argv[1:] if arguments is None else arguments
    command, before = None, None
    warnings.formatwarning = partial(_format_warning, typed)
    try:
        with contextlib.redirect_stdout(_StandardOutput(sys.stdout)):
            try:
                from agents.commands.output import completion_of, sole_writer_of
                from backbones.argument_checks import check_fields

                command = parse(typed)
                check_fields(command)
                before = completion_of(command)
                with sole_writer_of(command):
                    command.run()
            finally:
                sys.stdout.flush()
    except (KeyboardInterrupt, _Terminated) as stop:
        _exit_stopped(143 if isinstance(stop, _Terminated) else 130, command, before)
    except BrokenPipeError:
        _discard_output()
        sys.exit(141)
    except InputError as error:
        _say(f"seenn: {_with_options(str(error), typed)}")
        sys.exit(2)
    except OSError as error:  # a full disk, a folder that vanished
        place = "" if error.filename is None else f"{error.filename}: "
        reason = error.strerror or f"Expected files and folders that can be used, but: {first_line(error)}"
        _say(f"seenn: {place}{reason}; {_state(command, before)}.")
        _discard_output()
        sys.exit(1)
    except FloatingPointError as error:  # a training that diverged
        _say(f"seenn: {error}")
        sys.exit(1)
    except Exception as error:
        if _stopped:
            _exit_stopped(_stopped[0], command, before)
        if not isinstance(error, MemoryError) and not any(text in str(error) for text in _OUT_OF_MEMORY):
            traceback.print_exc()
        else:
            _say(f"seenn: Expected a machine with more memory, but: {first_line(error)}.")
        sys.exit(1)


def _with_options(sentence: str, arguments: Sequence[str]) -> str:
    """The sentence, with the options of the command in the place of the arguments of functions."""
    from agents.commands.option_names import spelt_as_options
    from agents.commands.table import COMMANDS

    command = next((COMMANDS[name] for name in arguments if name in COMMANDS), None)
    return spelt_as_options(sentence, command, COMMANDS.values(), arguments)


def _format_warning(
    typed: Sequence[str],
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning for the user in one line; one for programmers with its place in the code."""
    if category is not UserWarning:
        return _PYTHONS_FORMAT(message, category, filename, lineno, line)
    return f"seenn: {_with_options(' '.join(str(message).split()), typed)}\n"


def _exit_stopped(code: int, command: Any, before: object) -> None:
    _stopped.append(_ENDING)
    below_a_bar = "\n" if sys.stderr.isatty() else ""
    _say(f"{below_a_bar}seenn: stopped; {_state(command, before)}.")
    exec("")  # else `python -m` ends by SIGINT if it stopped another exec, such as the making of a dataclass
    sys.exit(code)


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):  # of a closed or full standard error, to which nothing can be said
        print(sentence, file=sys.stderr, flush=True)


def _state(command: Any, before: object) -> str:
    """The words for a command's output: complete since `before`, or the work of its next run."""
    if command is not None:
        from agents.commands.output import completion_of

        if (now := completion_of(command)) is not None and now != before:
            return f"the result, {command.output}, is complete"
    return f"the same command {'goes on from there' if getattr(command, 'resumes', False) else 'begins anew'}"


if __name__ == "__main__":
    main()
