"""Files of earlier format versions are read: one of each is kept in `tests/data/formats`."""

from pathlib import Path

import torch

import agents
import backbones as bb

FORMATS = Path(__file__).parent / "data" / "formats"


def test_a_policy_of_version_1_is_the_same_policy():
    old, new = agents.load(FORMATS / "policy-1.safetensors"), agents.load("digits/exact")
    assert old.tensors.keys() == new.tensors.keys()
    assert all(torch.equal(old.tensors[name], new.tensors[name]) for name in old.tensors)
    assert old.threshold == new.threshold


def test_a_backbone_of_version_1_is_read():
    network = bb.load(FORMATS / "backbone-1.safetensors")
    assert network.timesteps == 4
    assert network.fingerprint == "741f886b581be5ace5c391650af3c8b4"
