"""Logs for TensorBoard, as TensorBoard reads them."""

import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from backbones.event_log import EVENT_FILES, EventLog


def scalars(folder, tag="loss"):
    log = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in log.Scalars(tag)] if tag in log.Tags()["scalars"] else []


def write(log, steps, value):
    for step in steps:
        log.add_scalar("loss", value, step)


def test_a_log_appears_whole_and_replaces_the_one_before(tmp_path):
    for value in (1.0, 2.0):
        with EventLog(tmp_path / "run") as log:
            write(log, range(3), value)
            assert len(list((tmp_path / "run").glob("*"))) == value - 1
        assert scalars(tmp_path / "run") == [(0, value), (1, value), (2, value)]
    with pytest.raises(ZeroDivisionError), EventLog(tmp_path / "run") as log:
        write(log, range(9), 1 / 0)
    assert len(scalars(tmp_path / "run")) == 3


def test_a_growing_log_that_was_cut_goes_on_at_a_step(tmp_path, monkeypatch):
    log = EventLog(tmp_path, grows=True, first_step=1)
    write(log, (1, 2, 3), 1.0)
    log.flush()
    assert scalars(tmp_path) == [(1, 1), (2, 1), (3, 1)]
    write(log, (4, 5), 1.0)
    log.close()
    (file,) = tmp_path.glob(EVENT_FILES)
    file.write_bytes(file.read_bytes()[:-5])
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 10)
    log = EventLog(tmp_path, grows=True, first_step=3)
    write(log, (3, 4), 2.0)
    log.close()
    assert scalars(tmp_path) == [(1, 1), (2, 1), (3, 2), (4, 2)]


def test_a_log_on_a_full_disk_is_an_error_where_it_is_written(tmp_path):
    log = EventLog(tmp_path, grows=True)
    log.file_writer.file = log.file_writer.records._writer = open("/dev/full", "wb")  # noqa: SIM115
    write(log, (1,), 1.0)
    with pytest.raises(OSError, match="No space left"):
        log.flush()
