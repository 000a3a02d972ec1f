"""Options that nothing would read are refused in one sentence."""

import re

import numpy as np
import pytest

import agents
import backbones as bb
import seenn_env
from backbones.energy import EnergyModel
from tests.helpers.commands import refused
from tests.helpers.traces import make_traces


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    settings = {"num_classes": 10, "input_shape": (1, 8, 8), "width": 4}
    bb.save(bb.build("small", timesteps=2, **settings), folder / "net.safetensors")
    for neuron in ("qcfs", "relu"):
        bb.save(bb.build("small", timesteps=1, neuron=neuron, **settings), folder / f"{neuron}.safetensors")
    make_traces(60).save(folder / "traces.safetensors")
    return folder


CLASSIFY = ("classify", "--backbone", "net", "--inputs", "net")
TRAIN = ("train", "--traces", "traces", "--output", "out", "--algorithm")
NETWORK = ("train-backbone", "--output", "out")
RECORD = ("record", "--backbone", "net", "--output", "out")
BENCHMARK = ("benchmark", "--output", "out")
CASES = [
    ((*CLASSIFY, "--data-dir", "x"), "no --data-dir without a --dataset, got x"),
    ((*CLASSIFY, "--download"), "no --download without a --dataset"),
    ((*CLASSIFY, "--split", "policy"), "no --split without a --dataset"),
    ((*CLASSIFY, "--overwrite"), "no --overwrite without an --output"),
    (("classify", "--backbone", "net", "--dataset", "digits", "--resize"), "no --resize with a --dataset"),
    (("classify", "--backbone", "net", "--dataset", "digits", "--data-dir", "x"), "no root (--data-dir) for 'digits'"),
    (("compare", "--traces", "traces", "--output", "out", "--rules", "margin"), "no --rules without --calibration"),
    (
        ("compare", "--traces", "traces", "--output", "out", "--rules", "confidence", "per-timestep-margin"),
        "no --rules without --calibration",
    ),
    (("compare", "--traces", "traces", "--output", "out", "--targets", "1.3"), "no --targets without --calibration"),
    *(((*TRAIN, name, "--log-dir", "x"), "no log_dir") for name in ("exact", "one-shot", "optimal-stopping")),
    ((*TRAIN, "exact", "--total-timesteps", "5"), "no --total-timesteps with exact"),
    ((*TRAIN, "exact", "--reward-options", "price", "1"), "options of the reward 'linear' (cost), got {'price'"),
    ((*NETWORK, "--distill-temperature", "2"), "no --distill-temperature without a --distill-weight"),
    ((*NETWORK, "--stages", "2", "1", "0.1", "--epochs", "3"), "no --epochs with --stages"),
    ((*NETWORK, "--loss", "mean", "--tet-lambda", "0.1"), "no --tet-lambda without --loss tet"),
    ((*NETWORK, "--mtt-samples", "2"), "no --mtt-samples without --mixing mtt"),
    ((*NETWORK, "--schedule", "cosine", "--warmup", "0.1"), "no --warmup without --schedule onecycle"),
    ((*NETWORK, "--data-dir", "x"), "no root (--data-dir) for 'digits'"),
    ((*NETWORK, "--cache-dir", "x"), "no cache_dir (--cache-dir) for 'digits'"),
    ((*NETWORK, "--download"), "no download (--download) for 'digits'"),
    ((*RECORD, "--severity", "2"), "no --severity without a --corruption"),
    ((*RECORD, "--energy-model.pj-per-ac", "2"), "no --energy-model without --energy"),
    (("convert", "--backbone", "relu", "--output", "out", "--dataset", "None", "--data-dir", "x"), "no --data-dir"),
    (("convert", "--backbone", "qcfs", "--output", "out", "--percentile", "9"), "no --percentile with a QCFS network"),
    (
        ("convert", "--backbone", "relu", "--output", "out", "--method", "max", "--percentile", "9"),
        "no --percentile with the method max",
    ),
    (("headroom", "--overwrite"), "no --overwrite without an --output"),
    (("watch", "--data-dir", "x"), "no --data-dir without a --dataset"),
    (("watch", "--row", "1", "--seed", "2"), "no --seed with a --row"),
    (("watch", "--output", "out", "--fps", "2"), "no --fps with pictures one by one"),
    ((*BENCHMARK, "environments", "--gigabytes", "1"), "no --gigabytes with the part 'environments'"),
    ((*BENCHMARK, "live", "--no-learning"), "no --learning with the part 'live'"),
    ((*BENCHMARK, "scale", "--slots", "4"), "no --slots with the part 'scale'"),
]


@pytest.mark.parametrize(("arguments", "message"), CASES, ids=[" ".join(case[0]) for case in CASES])
def test_an_option_that_has_no_effect_is_refused(arguments, message, files, tmp_path, capsys):
    places = {
        "out": tmp_path / "out",
        **{name: files / f"{name}.safetensors" for name in ("net", "qcfs", "relu", "traces")},
    }
    assert message in refused(capsys, *(places.get(argument, argument) for argument in arguments))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("algorithm", ["exact", "optimal-stopping", "one-shot", "ppo"])
@pytest.mark.parametrize("target", [None, 1.5])
def test_unknown_options_of_the_reward_are_refused_by_every_algorithm(algorithm, target, digits):
    traces = seenn_env.Traces.merge(make_traces(60), make_traces(60, split="calibration", seed=1))
    samples = {"samples": digits.policy} if algorithm == "one-shot" else {}
    with pytest.raises(bb.InputError, match="options of the reward"):
        agents.train(algorithm, traces, target_timesteps=target, reward_options={"price": 0.1}, **samples)


def test_a_cost_beside_a_target_that_searches_it_is_refused():
    traces = seenn_env.Traces.merge(make_traces(60), make_traces(60, split="calibration", seed=1))
    with pytest.raises(bb.InputError, match="no cost of the reward with a target"):
        agents.train("optimal-stopping", traces, target_timesteps=1.5, reward_options={"cost": 0.1})


def test_an_energy_model_without_energy_is_refused(digits):
    network = bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=4)
    with pytest.raises(bb.InputError, match=re.escape("energy=True with an energy_model")):
        seenn_env.record(network, digits.test.select(np.arange(4)), energy_model=EnergyModel(1.0))
