"""The command `seenn` in this process."""

import pytest

from agents.main import main


def seenn(*arguments: object) -> None:
    main([str(argument) for argument in arguments])


def refused(capsys, *arguments: object) -> str:
    """The one sentence on stderr of a command that exits with 2."""
    with pytest.raises(SystemExit) as stop:
        seenn(*arguments)
    assert stop.value.code == 2
    message = capsys.readouterr().err.strip()
    assert len(message.splitlines()) == 1, message
    return message
