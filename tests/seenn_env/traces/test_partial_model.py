"""State machine: a partial recording against a model of a few lines, under kills, damage and changed samples."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from backbones import InputError
from backbones.machine import ProcessGroup
from seenn_env.traces.partial import PartialRecording, batches_done
from tests.helpers.searches import repeatable

N, SIZE = 7, 3
SHAPES = {"logits": (N, 2, 3), "spikes": (N, 2)}
DTYPES = {"logits": "float16", "spikes": "int64"}
BATCH, FIELD = st.integers(0, 2), st.sampled_from(sorted(SHAPES))


class Machine(RuleBasedStateMachine):
    """A batch is done if it is kept, and its rows and its digest are those of that moment."""

    @initialize()
    def make(self):
        self.folder = Path(tempfile.mkdtemp()) / "a.partial"
        self.samples, self.partial = 0, None
        self.begin_anew()
        self.open()

    def begin_anew(self):
        self.rows = {name: np.zeros(shape, DTYPES[name]) for name, shape in SHAPES.items()}
        self.kept = {}

    def open(self, samples=None, overwrite=False):
        given = {"samples": self.samples if samples is None else samples}
        options = {"batch_size": SIZE, "group": ProcessGroup(), "overwrite": overwrite}
        self.partial = PartialRecording.open(self.folder, given, SHAPES, DTYPES, **options)
        self.noted = set()

    def place(self, batch):
        return slice(SIZE * batch, SIZE * (batch + 1))

    def content(self, batch):
        return b"".join(rows[self.place(batch)].tobytes() for rows in self.rows.values())

    @rule(batch=BATCH, number=st.integers(1, 5), cut=st.booleans())
    def write(self, batch, number, cut):
        for name in ["logits"] if cut else SHAPES:
            self.partial.fields[name][self.place(batch)] = number
            self.rows[name][self.place(batch)] = number
        if not cut:
            self.partial.note(batch)
            self.noted.add(batch)

    @rule()
    def keep(self):
        self.partial.keep()
        self.kept |= {batch: self.content(batch) for batch in self.noted}
        self.noted = set()

    @rule()
    def kill(self):
        self.open()

    @rule(batch=BATCH, field=FIELD)
    def damage_rows(self, batch, field):
        row = SIZE * batch
        self.rows[field][row] = self.partial.fields[field][row] = self.rows[field][row] + 1

    @rule(batch=BATCH)
    def damage_a_digest(self, batch):
        file = self.folder / "done.rows"
        content = bytearray(file.read_bytes())
        content[32 * batch] = (content[32 * batch] + 1) % 256
        file.write_bytes(content)
        self.open()  # its map is of the file before
        self.kept.pop(batch, None)

    @rule(field=FIELD, gone=st.booleans())
    def lose_a_file(self, field, gone):
        file = self.folder / f"{field}.rows"
        file.unlink() if gone else file.write_bytes(file.read_bytes()[:-1])
        self.begin_anew()
        self.open()

    @rule()
    def change_the_samples(self):
        before = {file.name: file.read_bytes() for file in self.folder.iterdir()}
        with pytest.raises(InputError, match="other settings"):
            self.open(samples=self.samples + 1)
        assert {file.name: file.read_bytes() for file in self.folder.iterdir()} == before

    @rule()
    def overwrite_with_changed_samples(self):
        self.samples += 1
        self.begin_anew()
        self.open(overwrite=True)

    @rule(killed=st.booleans())
    def remove(self, killed):
        if killed:  # after its first operation
            (self.folder / "settings.json").unlink()
            PartialRecording.remove_rest(self.folder)
        else:
            self.partial.remove()
        assert not self.folder.exists()
        self.begin_anew()
        self.open()

    @rule(number=st.integers(1, 5))
    def finish(self, number):
        for batch in self.partial.missing(ProcessGroup()):
            self.write(batch, number, cut=False)
        self.keep()
        assert self.partial.missing(ProcessGroup()) == []

    @invariant()
    def missing_batches_are_those_of_the_model(self):
        missing = [batch for batch in range(3) if self.kept.get(batch) != self.content(batch)]
        assert self.partial.missing(ProcessGroup()) == missing
        assert sorted(n for rank in (0, 1) for n in self.partial.missing(ProcessGroup(rank, 2))) == missing
        assert all(np.array_equal(self.partial.fields[name], rows) for name, rows in self.rows.items())
        assert set(np.flatnonzero(batches_done(self.folder))) >= set(self.kept)

    def teardown(self):
        shutil.rmtree(self.folder.parent)


@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_the_partial_recording_and_its_model_agree(count):
    run_state_machine_as_test(Machine, settings=repeatable(count))
