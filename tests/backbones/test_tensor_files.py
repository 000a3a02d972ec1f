"""Files of the ground: written whole or not at all, and safetensors that any reader opens."""

import json
import os
import stat

import numpy as np
import pytest
import safetensors.torch
import torch

from backbones import InputError
from backbones.array_files import map_arrays, write_arrays
from backbones.atomic import open_atomic, remove_with_leftovers, write_atomic
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
    for name in ("a[1].pt", "a[1].pt.txt"):
        write_atomic(tmp_path / name, name)
        (tmp_path / f".{name}.0123abcd.tmp").touch()
    remove_with_leftovers(tmp_path / "a[1].pt")
    assert sorted(os.listdir(tmp_path)) == [".a[1].pt.txt.0123abcd.tmp", "a[1].pt.txt"]


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
    found, _ = load_tensor_file(tmp_path / "a", kind="a test", format="x")
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
