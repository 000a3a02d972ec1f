"""`benchmarks/environments/scale.py` in small: figures, a table, and the big file gone."""

import json
import mmap

import numpy as np
import pytest

from backbones import InputError
from seenn_env import Traces
from tests.helpers.programs import load_program

scale = load_program("benchmarks/environments/scale")


def test_it_writes_figures_and_the_table_and_removes_the_traces(tmp_path, capsys, monkeypatch):
    settings = ["--gigabytes", "0.01", "--rounds", "2", "--num-envs", "32", "--folder", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["scale", *settings, "--output", str(tmp_path / "scale.json")])
    scale.main()
    result = json.loads((tmp_path / "scale.json").read_text())
    assert result["traces"] == {"N": 1250, "T": 4, "K": 1000, "dtype": "float16", "bytes": result["traces"]["bytes"]}
    assert result["traces"]["bytes"] > 1e7
    assert set(result["seconds"]) == {"write", "load", "verify", "predictions", "columns", "make"}
    assert result["steps_per_second"] == sorted(result["steps_per_second"])
    assert "cpu" in result["machine"]
    assert [path.name for path in tmp_path.iterdir()] == ["scale.json"]
    table = capsys.readouterr().out
    assert "M steps/s" in table
    assert "anonymous memory" in table


def test_the_traces_get_surer_with_time(tmp_path):
    scale.make_traces_file(tmp_path / "traces.safetensors", 1250, 0)
    traces = Traces.load(tmp_path / "traces.safetensors")
    assert traces.split == "policy"
    assert (np.diff(traces.accuracy) > 0).all()


def test_equal_seeds_make_equal_files(tmp_path):
    files = [tmp_path / name / "traces" for name in "abc"]
    for file, seed in zip(files, (0, 0, 1), strict=True):
        file.parent.mkdir()
        scale.make_traces_file(file, 10, seed)
    one, two, other = (file.read_bytes() for file in files)
    assert one == two != other
    assert not list(tmp_path.glob("*/*.npy"))


@pytest.mark.parametrize(("gigabytes", "message"), [(0.0, "Expected gigabytes > 0 and rounds"), (1e6, "GB free for")])
def test_sizes_that_cannot_be_are_one_sentence(gigabytes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        scale.measure_scale(tmp_path, gigabytes=gigabytes, num_envs=32, rounds=2, seed=0)


def test_anonymous_memory_sees_an_array_and_not_a_map(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(1 << 24))
    with scale.AnonymousMemory(every=0.001) as memory:
        if memory.start is None:
            pytest.skip("this system does not tell")
        np.load(tmp_path / "a.npy", mmap_mode="r").sum()
        mapped = memory.peak - memory.start
        held = mmap.mmap(-1, 1 << 27, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # no memory that was freed before
        np.frombuffer(held, np.uint8).fill(1)
        for _ in range(50):
            memory._done.wait(0.1)
            if memory.peak - memory.start > len(held) / 2:
                break
    assert mapped < len(held) / 2 < memory.peak - memory.start
