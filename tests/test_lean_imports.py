"""Training needs torch, torchvision, NumPy and tqdm, and nothing else."""

from tests.helpers.programs import run_python

OTHERS = ("gymnasium", "matplotlib", "safetensors", "sklearn", "stable_baselines3", "tensorboard", "tyro")
PROGRAM = """
import sys

class Lean:
    # A finder that does not find some packages.
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in set(sys.argv[2:]):
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path = [Lean(finder) for finder in sys.meta_path]
import numpy as np
import backbones as bb
from backbones.data import SPLITS
from backbones.training.loop import TrainingConfig, train

rng = np.random.default_rng(0)

def samples(split, first):
    index = np.arange(first, first + 32)
    images = rng.integers(256, size=(32, 3, 8, 8), dtype=np.uint8)
    return bb.Samples(images, index % 2, index, ("a", "b"), "noise", split)

splits = bb.Splits(*(samples(name, 32 * i) for i, name in enumerate(SPLITS)))
network = bb.build("small", num_classes=2, timesteps=1, input_shape=(3, 8, 8), width=2)
train(network, splits, TrainingConfig(epochs=1, batch_size=16), log_dir=sys.argv[1])
bb.save(network, sys.argv[1] + "/net")
print(bb.load(sys.argv[1] + "/net").fingerprint == network.fingerprint)
"""


def test_a_network_trains_and_is_saved_without_the_other_packages(tmp_path):
    output, errors = run_python("-c", PROGRAM, tmp_path, *OTHERS)
    assert output.strip() == "True"
    assert errors.strip() == f"TensorBoard is not installed: nothing is logged to {tmp_path}."
