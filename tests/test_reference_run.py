"""The GPU reference run, dry: a tiny network on random images, in parts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import backbones as bb

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "resnet19_cifar10.sh"


@pytest.mark.slow  # half a dozen processes that start PyTorch
def test_the_reference_run_comes_through_in_parts(tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable}
    parts = 0
    while True:  # PART=0: every part stops after its first epoch
        done = subprocess.run(
            [SCRIPT, "--dry-run", tmp_path], env={**environment, "PART_ONLY": "1"}, capture_output=True, text=True
        )
        assert done.returncode in (0, 75), done.stderr
        parts += 1
        if done.returncode == 0:
            break
    assert parts == 4  # three epochs, and the traces
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["splits"] == {"train": 40, "policy": 20, "calibration": 20, "test": 16}
    assert len((tmp_path / "log.txt").read_text().splitlines()) == 3
    network = bb.load(tmp_path / "backbone.safetensors")
    for split, count in (("policy", 20), ("calibration", 20), ("test", 16)):
        path = tmp_path / f"traces-{split}.safetensors"
        tensors, about = bb.load_tensor_file(path, kind="logits", format="seenn_env.raw_logits/1")
        assert tensors["logits"].shape == (count, 4, 10)
        assert str(tensors["logits"].dtype) == "torch.float16"
        assert about["fingerprint"] == network.fingerprint
        assert len(result["accuracy"][split]) == 4
    assert not (tmp_path / "training.pt").exists()
