"""`seenn benchmark scale` in small: figures, a table, and the big file gone."""

import json

import numpy as np
import pytest

from agents.commands.benchmark.scale import AnonymousMemory, make_traces_file
from agents.main import main
from seenn_env import Traces

SMALL = ["benchmark", "scale", "--gigabytes", "0.01", "--rounds", "2", "--num-envs", "32"]


def test_it_writes_figures_and_the_table_and_removes_the_traces(tmp_path, capsys):
    folder = tmp_path / "scale"
    main([*SMALL, "--output", str(folder)])
    result = json.loads((folder / "scale.json").read_text())
    assert result["traces"] == {"N": 1250, "T": 4, "K": 1000, "dtype": "float16", "bytes": result["traces"]["bytes"]}
    assert result["traces"]["bytes"] > 1e7
    assert set(result["seconds"]) == {"write", "load", "verify", "predictions", "columns", "make"}
    assert result["steps_per_second"] == sorted(result["steps_per_second"])
    assert "cpu" in result["machine"]
    assert sorted(path.name for path in folder.iterdir()) == ["complete", "scale.json", "scale.txt", "settings.json"]
    table = (folder / "scale.txt").read_text()
    assert table in capsys.readouterr().out
    assert "M steps/s" in table
    assert "anonymous memory" in table


def test_the_traces_can_be_kept_and_get_surer_with_time(tmp_path):
    main([*SMALL, "--keep", "--output", str(tmp_path / "scale")])
    traces = Traces.load(tmp_path / "scale" / "scale.safetensors")
    assert traces.split == "policy"
    assert (np.diff(traces.accuracy) > 0).all()


def test_equal_seeds_make_equal_files(tmp_path):
    files = [tmp_path / name / "traces" for name in "abc"]
    for file, seed in zip(files, (0, 0, 1), strict=True):
        file.parent.mkdir()
        make_traces_file(file, 10, seed)
    one, two, other = (file.read_bytes() for file in files)
    assert one == two != other
    assert not list(tmp_path.glob("*/*.npy"))


@pytest.mark.parametrize(
    ("gigabytes", "message"), [("0", "Expected gigabytes > 0 and rounds"), ("1000000", "GB free for")]
)
def test_sizes_that_cannot_be_are_one_sentence(gigabytes, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", "scale", "--gigabytes", gigabytes, "--output", str(tmp_path / "scale")])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_anonymous_memory_sees_an_array_and_not_a_map(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(1 << 24))
    with AnonymousMemory(every=0.001) as memory:
        if memory.start is None:
            pytest.skip("this system does not tell")
        np.load(tmp_path / "a.npy", mmap_mode="r").sum()
        mapped = memory.peak - memory.start
        held = np.ones(1 << 24)
        memory._done.wait(0.2)
    assert mapped < held.nbytes / 2 < memory.peak - memory.start
