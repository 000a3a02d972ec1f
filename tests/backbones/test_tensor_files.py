"""Files of the ground: written whole or not at all, and safetensors that any reader opens."""

import json
import os
import stat
from contextlib import suppress

import numpy as np
import pytest
import safetensors.torch
import torch

from backbones import InputError
from backbones.array_files import Rows, map_arrays, write_arrays
from backbones.atomic import new_folder, open_atomic, remove_leftovers, sole_writer, write_atomic
from backbones.hashing import hash_tensors
from backbones.tensor_files import load_tensor_file, save_tensor_file

TENSORS = {
    "bias": torch.randn(3, dtype=torch.float64),
    "count": torch.tensor(7),
    "empty": torch.zeros(0, 4),
    "mask": torch.tensor([True, False, True]),
    "rounded": torch.randn(2, 5).bfloat16(),
    "weight": torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last),
}


def test_a_file_keeps_its_old_content_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_atomic(path, "old\r\n")
    with pytest.raises(ZeroDivisionError), open_atomic(path, text=True) as file:
        file.write(f"half {path.read_text()} {1 / 0}")
    assert path.read_bytes() == b"old\r\n"
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["a.txt"]


def test_files_have_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        save_tensor_file(tmp_path / "a", TENSORS, {"format": "x"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_leftovers_of_killed_writers_go_with_their_file_alone(tmp_path):
    path = tmp_path / "a[1].pt"
    for name in (".a[1].pt.0123abcd.tmp", ".a[1].pt.txt.0123abcd.tmp", ".a[1].pt.mine.tmp"):
        (tmp_path / name).touch()
    remove_leftovers(path)
    assert sorted(os.listdir(tmp_path)) == [".a[1].pt.mine.tmp", ".a[1].pt.txt.0123abcd.tmp"]
    (tmp_path / ".a[1].pt.0123abcd.tmp").touch()
    with open_atomic(path) as file:
        file.write(b"x")
        mine = [name for name in os.listdir(tmp_path) if name.startswith(".a[1].pt.") and "txt" not in name]
        assert len(mine) == 2
        assert ".a[1].pt.0123abcd.tmp" not in mine
        remove_leftovers(path)  # of another process: this one is alive
        assert path.with_name(mine[0]).exists()
        assert path.with_name(mine[1]).exists()


def test_a_link_to_nothing_a_pipe_and_a_folder_are_no_files_to_write(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("link", "pipe", "folder"):
        with pytest.raises(InputError, match="Expected the name of a file to write"):
            write_atomic(tmp_path / name, "x")
    assert sorted(os.listdir(tmp_path)) == ["folder", "link", "pipe"]


def test_one_process_at_a_time_has_a_path(tmp_path):
    path = tmp_path / "new" / "deeper" / "a"
    with sole_writer(path):
        with pytest.raises(InputError, match="Another process is writing"), sole_writer(path):
            pass
        with sole_writer(path.with_name("b")):
            pass
    assert not (tmp_path / "new").exists()
    (tmp_path / ".c.lock").touch()  # of a killed process
    with sole_writer(tmp_path / "c"):
        pass
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="an output that can be written"), sole_writer(tmp_path / "file" / "a"):
        pass


def test_tensors_come_back_the_same_by_this_reader_and_by_the_format_s_own(tmp_path):
    file = save_tensor_file(tmp_path / "a.safetensors", TENSORS, {"format": "x"})
    own, metadata = load_tensor_file(file, kind="a test", format="x")
    theirs = safetensors.torch.load_file(file)
    assert metadata == {"format": "x"}
    for name, tensor in TENSORS.items():
        for found in (own[name], theirs[name]):
            assert found.dtype == tensor.dtype
            assert torch.equal(found, tensor)


def test_files_of_the_format_s_own_library_are_read(tmp_path):
    held = {name: tensor.contiguous() for name, tensor in TENSORS.items()}
    safetensors.torch.save_file(held, tmp_path / "a", {"seenn_env": json.dumps({"format": "x"})})
    with pytest.raises(InputError, match="Expected digests in a test file"):
        load_tensor_file(tmp_path / "a", kind="a test", format="x")
    found, _ = load_tensor_file(tmp_path / "a", kind="a test", format="y", unsealed="x")
    assert all(torch.equal(found[name], tensor) for name, tensor in TENSORS.items())
    assert all(found[name].dtype == tensor.dtype for name, tensor in TENSORS.items())


def test_a_file_cut_or_with_a_header_that_does_not_fit_is_refused(tmp_path):
    file = tmp_path / "a"
    write_arrays(file, {"x": np.arange(6, dtype=np.int32), "y": np.ones(2)}, {})
    whole = file.read_bytes()
    pairs = [(b"[2]", b"[3]"), (b"F64", b"F99"), (b"[0,16]", b"[8,16]"), (b"shape", b"sharp"), (b'"x"', b"'x'")]
    for broken in [*(whole[:length] for length in (0, 4, 8, 50, len(whole) - 1)), whole + b" "]:
        file.write_bytes(broken)
        with pytest.raises(InputError, match=r"Expected a test, but .* is not whole"):
            map_arrays(file, kind="a test")
    for old, new in pairs:
        assert old in whole
        file.write_bytes(whole.replace(old, new))
        with pytest.raises(InputError, match=r"Expected a test, but .* is not whole"):
            map_arrays(file, kind="a test")


def test_rows_written_one_by_one_are_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr("backbones.array_files.CHUNK_BYTES", 64)
    for count in (0, 1, 4, 5, 40):
        array = np.arange(count * 7, dtype=np.int32).reshape(count, 7)
        write_arrays(tmp_path / "a", {"x": array}, {"y": "z"})
        write_arrays(tmp_path / "b", {"x": Rows(array.shape, array.dtype, iter(array))}, {"y": "z"})
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        assert np.array_equal(map_arrays(tmp_path / "b", kind="a test")[0]["x"], array)


def test_numbers_that_are_not_finite_are_neither_written_nor_read(tmp_path):
    file, bad = tmp_path / "a", torch.tensor([1.0, torch.nan])
    with pytest.raises(InputError, match="got NaN or infinity in 'x'"):
        save_tensor_file(file, {"x": bad}, {"format": "x"})
    assert not file.exists()
    write_arrays(file, {"x": bad.numpy()}, {"format": "x"})
    with pytest.raises(InputError, match="got NaN or infinity in 'x'"):
        load_tensor_file(file, kind="a test", format="x")


def header(content: object, body: bytes = bytes(8)) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text + body


def test_hostile_headers_cost_neither_memory_nor_a_crash(tmp_path):
    entry = {"dtype": "F32", "shape": [1, 1, 2], "data_offsets": [0, 8]}
    for content in (
        [1],
        12,
        {"__metadata__": "a"},
        {"__metadata__": {"a": 1}},
        {"__metadata__": ["a"]},
        b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        {"x": {**entry, "shape": [2**40, 3, 5]}},
        {"x": {**entry, "shape": [2**70], "data_offsets": [0, 2**72]}},
        {"x": {**entry, "shape": [2**62, 0], "data_offsets": [0, 0]}},
        {"x": {**entry, "shape": [-1, -2]}},
        {"x": {**entry, "shape": [True, 2]}},
        {"x": {**entry, "shape": "ab"}},
        {"x": {**entry, "dtype": ["F32"]}},
        {"x": [entry]},
    ):
        (tmp_path / "a").write_bytes(header(content))
        with pytest.raises(InputError, match=r"Expected a test, but .* is not whole"):
            map_arrays(tmp_path / "a", kind="a test")


def test_a_seal_that_was_edited_is_refused(tmp_path):
    file = tmp_path / "a"
    write_arrays(file, {"x": np.ones(2)}, {"format": "x"})
    size = int.from_bytes(file.read_bytes()[:8], "little")
    written, body = json.loads(file.read_bytes()[8 : 8 + size]), file.read_bytes()[8 + size :]
    seal = written["__metadata__"]
    for change in ({"format": "y"}, {"digests": "{}"}, {"digests": None}, {"header_digest": None}, {"more": ""}):
        edited = {name: value for name, value in {**seal, **change}.items() if value is not None}
        file.write_bytes(header({**written, "__metadata__": edited}, body))
        with pytest.raises(InputError, match="does not match its digest"):
            map_arrays(file, kind="a test")
    file.write_bytes(header({**written, "__metadata__": {"format": "x"}}, body))
    assert map_arrays(file, kind="a test")[2] is None
    with pytest.raises(InputError, match="Expected digests in a test file"):
        load_tensor_file(file, kind="a test", format="x")


def test_the_digest_of_tensors_covers_names_dtypes_shapes_values_and_settings():
    tensor = torch.arange(6.0)
    prints = [
        hash_tensors({"a": tensor}),
        hash_tensors({"b": tensor}),
        hash_tensors({"a": tensor.view(torch.int32)}),
        hash_tensors({"a": tensor.reshape(2, 3)}),
        hash_tensors({"a": tensor + 1}),
        hash_tensors({"a": tensor}, ["settings"]),
    ]
    assert len(set(prints)) == len(prints)
    assert prints[0] == hash_tensors({"a": tensor, "norm.num_batches_tracked": torch.tensor(3)})


def test_folders_that_were_made_for_a_file_that_fails_are_deleted_unless_others_use_them(tmp_path):
    with pytest.raises(ZeroDivisionError), open_atomic(tmp_path / "a" / "b" / "file"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    with suppress(ZeroDivisionError), open_atomic(tmp_path / "a" / "b" / "file"):
        (tmp_path / "a" / "mine").touch()
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "empty"):
        raise ZeroDivisionError
    assert (tmp_path / "empty").is_dir()
