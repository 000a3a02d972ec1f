"""`seenn export`: files that decide as the policy does live; an old export stays where a new one is refused."""

import json

import numpy as np

import agents
import backbones as bb
from backbones.contract import make_keys
from tests.helpers.commands import refused, seenn
from tests.helpers.programs import load_program, needs_onnx

DIGITS = ("export", "--backbone", "digits", "--policy")


@needs_onnx
def test_the_exported_policy_exits_under_onnxruntime_as_it_does_live(tmp_path, capsys):
    folder = tmp_path / "onnx"
    seenn(*DIGITS, "digits/ppo", "--slots", 8, "--output", folder)
    assert capsys.readouterr().out.splitlines()[-1] == f"export: {folder}"
    seenn("info", folder, "--json")
    (facts,) = json.loads(capsys.readouterr().out)["files"]
    assert (facts["kind"], facts["num_slots"]) == ("ONNX export", 8)
    assert facts["fingerprint"] == bb.load("digits").fingerprint
    assert facts["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    test = bb.load_dataset("digits").test.select(slice(100))
    run = load_program("examples/deploy_onnx").classify
    predictions, exits = run(folder, test.images / np.float32(255), make_keys(test.index))
    live = agents.classify(test, bb.load("digits"), agents.load("digits/ppo"), num_slots=8)
    assert (exits == live.timesteps).mean() >= 0.99
    assert (predictions == live.predictions).mean() >= 0.99
    assert len(set(exits)) > 2

    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert "holds a complete result" in refused(capsys, *DIGITS, "margin", "--output", folder)
    refused(capsys, *DIGITS, "digits/optimal-stopping", "--output", folder, "--overwrite")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_bad_options_are_one_sentence_and_leave_no_folder(tmp_path, capsys):
    bb.save(bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=4), tmp_path / "net")
    cases = (
        (("digits", "--policy", "digits/optimal-stopping"), "to export, got OptimalStopping"),
        (("digits", "--policy", "cifar10-jpeg/ppo"), "network's 8 timesteps, got one that was made for 4"),
        (("digits", "--policy", "digits/ppo", "--threshold", "0.5", "--slots", "0"), "slots to be a whole number"),
        (("digits", "--policy", "per-timestep-margin"), "a rule with one threshold"),
        ((tmp_path / "net", "--policy", "digits/exact"), "T = 2, the network's, got one for 8"),
        ((tmp_path / "none.safetensors",), "found nothing at"),
    )
    for options, message in cases:
        assert message in refused(capsys, "export", "--backbone", *options, "--output", tmp_path / "out"), options
        assert not (tmp_path / "out").exists()
