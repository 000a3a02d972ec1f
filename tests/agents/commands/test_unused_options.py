"""Options without effect are refused in one sentence."""

import pytest

import backbones as bb
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
CASES = [
    ((*CLASSIFY, "--data-dir", "x"), "no --data-dir without a --dataset, got x"),
    ((*CLASSIFY, "--download"), "no --download without a --dataset"),
    ((*CLASSIFY, "--split", "policy"), "no --split without a --dataset"),
    ((*CLASSIFY, "--overwrite"), "no --overwrite without an --output"),
    (("classify", "--backbone", "net", "--dataset", "digits", "--resize"), "no --resize with a --dataset"),
    (("classify", "--backbone", "net", "--dataset", "digits", "--data-dir", "x"), "no --data-dir for 'digits'"),
    (("compare", "--traces", "traces", "--output", "out", "--rules", "margin"), "no --rules without --calibration"),
    (
        ("compare", "--traces", "traces", "--output", "out", "--rules", "confidence", "per-timestep-margin"),
        "no --rules without --calibration",
    ),
    (("compare", "--traces", "traces", "--output", "out", "--targets", "1.3"), "no --targets without --calibration"),
    (("compare", "--traces", "traces", "--output", "out", "--policies", "=digits/ppo"), "NAME=FILE, got '=digits/ppo'"),
    (
        ("compare", "--traces", "traces", "--output", "out", "--policies", "a=digits/ppo", "a=digits/ppo"),
        "each policy once, got a=digits/ppo twice",
    ),
    ((*TRAIN, "exact", "--total-timesteps", "5"), "no --total-timesteps with exact"),
    (
        (*TRAIN, "exact", "--reward-options", "price", "1"),
        "known option of the reward 'linear', got 'price'. Known: cost",
    ),
    ((*NETWORK, "--distill-temperature", "2"), "no --distill-temperature without a --distill-weight"),
    ((*NETWORK, "--stages", "2", "1", "0.1", "--epochs", "3"), "no --epochs with --stages"),
    ((*NETWORK, "--loss", "mean", "--tet-lambda", "0.1"), "no --tet-lambda without --loss tet"),
    ((*NETWORK, "--mtt-samples", "2"), "no --mtt-samples without --mixing mtt"),
    ((*NETWORK, "--schedule", "cosine", "--warmup", "0.1"), "no --warmup without --schedule onecycle"),
    ((*NETWORK, "--data-dir", "x"), "no --data-dir for 'digits'"),
    ((*NETWORK, "--cache-dir", "x"), "no --cache-dir for 'digits'"),
    ((*NETWORK, "--download"), "no --download for 'digits'"),
    ((*RECORD, "--severity", "2"), "no --severity without a --corruption"),
    ((*RECORD, "--energy-model.pj-per-ac", "2"), "no --energy-model without --energy"),
    (("convert", "--backbone", "relu", "--output", "out", "--dataset", "none", "--data-dir", "x"), "no --data-dir"),
    (("convert", "--backbone", "qcfs", "--output", "out", "--percentile", "9"), "no --percentile with a QCFS network"),
    (
        ("convert", "--backbone", "relu", "--output", "out", "--method", "max", "--percentile", "9"),
        "no --percentile with the method max",
    ),
    (("headroom", "--overwrite"), "no --overwrite without an --output"),
    (("watch", "--data-dir", "x"), "no --data-dir without a --dataset"),
    (("watch", "--row", "1", "--seed", "2"), "no --seed with a --row"),
    (("watch", "--output", "out", "--fps", "2"), "no --fps with pictures one by one"),
]


@pytest.mark.parametrize(("arguments", "message"), CASES, ids=[" ".join(case[0]) for case in CASES])
def test_an_option_that_has_no_effect_is_refused(arguments, message, files, tmp_path, capsys):
    places = {
        "out": tmp_path / "out",
        **{name: files / f"{name}.safetensors" for name in ("net", "qcfs", "relu", "traces")},
    }
    assert message in refused(capsys, *(places.get(argument, argument) for argument in arguments))
    assert not (tmp_path / "out").exists()
