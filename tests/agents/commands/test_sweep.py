"""`seenn sweep`: equal to the same trainings one by one, resumable, and not stopped by one that fails."""

import json
import signal
import sys

import pytest

import agents
from backbones import InputError
from backbones.errors import counted
from seenn_env import Traces
from tests.helpers.commands import refused, seenn
from tests.helpers.programs import ROOT, start_python
from tests.helpers.tensorboard_server import scalars
from tests.helpers.traces import make_traces

TWO = ("--algorithms", "exact", "optimal-stopping", "--targets", 1.5, "--seeds", 2, "--workers", 0)
POLICIES = [f"{algorithm}@1.5-seed{seed}.safetensors" for algorithm in TWO[1:3] for seed in (0, 1)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A traces file of all three splits."""
    parts = [make_traces(120, split=split, seed=i) for i, split in enumerate(("policy", "calibration", "test"))]
    return Traces.merge(*parts).save(tmp_path_factory.mktemp("traces") / "traces.safetensors")


@pytest.fixture(scope="module")
def swept(recorded, tmp_path_factory):
    """The command and its result."""
    folder = tmp_path_factory.mktemp("sweep") / "out"
    command = ("sweep", "--traces", recorded, *TWO, "--output", folder)
    seenn(*command)
    return command, folder


def contents(folder):
    return {file.name: file.read_bytes() for file in (folder / "policies").iterdir()}


def test_policies_equal_those_of_the_same_trainings_and_seeds_are_one_row(swept, recorded, tmp_path):
    _, folder = swept
    assert sorted(contents(folder)) == POLICIES
    alone = agents.train("exact", Traces.load(recorded), target_timesteps=1.5, seed=1)
    saved = agents.save(alone, tmp_path / "alone.safetensors")
    assert contents(folder)["exact@1.5-seed1.safetensors"] == saved.read_bytes()
    compared = json.loads((folder / "comparison" / "comparison.json").read_text())
    assert compared["split"] == "test"
    seeds = {row["name"]: row["seeds"] for row in compared["rows"]}
    assert seeds["exact @ 1.5"] == seeds["optimal-stopping @ 1.5"] == 2
    assert seeds["confidence @ 1.5"] == 1


def test_every_training_has_a_learning_curve_and_its_seeds_a_mean_with_a_band(swept):
    _, folder = swept
    curves = folder / "training"
    runs = {path.name for path in curves.iterdir() if path.is_dir()}
    means = {f"{name}@1.5 (mean of 2 seeds)" for name in TWO[1:3]}
    assert runs == {name.removesuffix(".safetensors") for name in POLICIES} | means | {"reference"}
    assert len(list(curves.glob("events.out.tfevents.*"))) == 1  # the layout
    assert {path.name for path in (curves / "reference").iterdir()} >= {"oracle"}
    ends = [scalars(curves / f"exact@1.5-seed{seed}")["eval/accuracy_at_target"] for seed in (0, 1)]
    assert all(50 <= len(each) <= 1000 for each in ends)
    mean = scalars(curves / "exact@1.5 (mean of 2 seeds)")
    last = [each[1000] for each in ends]
    assert mean["eval/accuracy_at_target"][1000] == pytest.approx(sum(last) / 2, rel=1e-5)
    for end, value in (("low", min(last)), ("high", max(last))):
        assert mean[f"seeds/accuracy_at_target_{end}"][1000] == pytest.approx(value, rel=1e-5)


def test_a_stopped_sweep_trains_what_is_missing(swept, capsys):
    command, folder = swept
    before = contents(folder)
    assert "holds a complete result" in refused(capsys, *command)
    (folder / "complete").unlink()
    (folder / "policies" / POLICIES[0]).unlink()
    seenn(*command)
    out = capsys.readouterr().out
    assert "train 1 of 4 policies\n1/1: exact @ 1.5, seed 0\n" in out
    assert contents(folder) == before
    assert (folder / "complete").exists()
    for run in (folder / "comparison" / "tensorboard", *(folder / "training").glob("exact*")):
        assert len(list(run.glob("events*"))) == 1


def test_a_failed_training_is_named_and_tried_again_and_the_others_are_compared(
    recorded, tmp_path, capsys, monkeypatch
):
    train = agents.train

    def diverging(algorithm, *rest, **settings):
        if algorithm == "optimal-stopping":
            raise InputError("Expected finite numbers.")
        return train(algorithm, *rest, **settings)

    monkeypatch.setattr(agents, "train", diverging)
    sweep = ("sweep", "--traces", recorded, "--algorithms", "optimal-stopping", "exact", "--seeds", 1, "--workers", 0)
    for missing in (2, 1):
        with pytest.raises(SystemExit) as stop:
            seenn(*sweep, "--targets", 1.5, "--output", tmp_path / "out")
        assert stop.value.code == 1
        out, errors = capsys.readouterr()
        assert f"train {missing} of 2 policies" in out
        assert "exact @ 1.5  " in out
        assert errors.splitlines()[0].startswith("seenn: optimal-stopping @ 1.5, seed 0 failed: Expected finite")
        failed = f"1 of {counted(missing, 'training')} failed"
        assert errors.splitlines()[1] == f"seenn: {failed}; the same command tries them again."
    assert not (tmp_path / "out" / "complete").exists()


def test_prices_and_observations_are_axes_and_policies_of_a_price_meet_every_target(recorded, tmp_path):
    axes = ("--costs", 0.05, 0.2, "--observations", "features", "rich", "--targets", 1.5, 2)
    sweep = ("sweep", "--traces", recorded, "--algorithms", "optimal-stopping", *axes, "--seed", 3, "--seeds", 1)
    seenn(*sweep, "--workers", 0, "--output", tmp_path / "out")
    policy = agents.load(tmp_path / "out" / "policies" / "optimal-stopping-on-rich-at-cost-0.2-seed3.safetensors")
    assert policy.observation == "rich"
    assert policy.settings["reward_options"] == {"cost": 0.2}
    compared = json.loads((tmp_path / "out" / "comparison" / "comparison.json").read_text())
    names = [row["name"] for row in compared["rows"] if row["kind"] == "learned"]
    kinds = [f"optimal-stopping on {name} at cost {cost}" for name in ("features", "rich") for cost in (0.05, 0.2)]
    assert names == [f"{kind} @ {target}" for kind in kinds for target in (1.5, 2)]
    oracles = [tmp_path / "out" / "training" / "reference" / f"oracle, linear cost={cost}" for cost in (0.05, 0.2)]
    cheap, dear = (scalars(oracle)["eval/return"][1000] for oracle in oracles)
    assert cheap > dear


def test_ctrl_c_ends_in_one_line_and_keeps_the_finished(recorded, tmp_path, capsys, monkeypatch):
    train = agents.train

    def stopped(algorithm, *rest, **settings):
        if algorithm == "optimal-stopping":
            raise KeyboardInterrupt
        return train(algorithm, *rest, **settings)

    monkeypatch.setattr(agents, "train", stopped)
    with pytest.raises(SystemExit) as stop:
        seenn("sweep", "--traces", recorded, *TWO, "--output", tmp_path / "out")
    assert stop.value.code == 130
    assert capsys.readouterr().err == "seenn: stopped; the same command goes on from there.\n"
    assert sorted(contents(tmp_path / "out")) == POLICIES[:2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--workers", 1),
            "Expected Ray, which is not installed: pip install 'seenn-env[sweep]', or pass --workers 0.",
        ),
        (("--workers", 2, "--address", "auto"), "Expected no --workers with an --address"),
        (("--algorithms",), "Expected at least one algorithm, got none"),
        (("--algorithms", "exact", "exakt"), "algorithm, got 'exakt'"),
        (("--algorithms", "exact", "one-shot"), "one-shot @ 1.2: Expected images of the samples, got none"),
        (("--observations", "rich", "featurs"), "observation, got 'featurs'."),
        (("--algorithms", "exact", "--observations", "rich", "hidden"), "record with --hidden"),
        (("--costs", "0.1", "-1"), "exact at cost -1: Expected cost to be a number of 0 or more, got -1.0."),
        (("--seed", 2**32 - 1, "--seeds", 2), "Expected seed to be a whole number of 0 or more and below 4294967296"),
        (("--algorithms", "exact", "--total-timesteps", 5), "no --total-timesteps with algorithms that run no"),
        (("--targets", 9), "Expected --targets from 1 to T = 4, got 9."),
    ],
)
def test_bad_settings_are_one_sentence_and_write_nothing(options, message, recorded, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # not installed
    assert message in refused(capsys, "sweep", "--traces", recorded, *options, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_two_nodes_of_a_ray_cluster_train_the_policies_of_one_process(recorded, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: extra `sweep`")
    from ray.cluster_utils import Cluster

    (tmp_path / "nodes").mkdir()
    monkeypatch.setenv("NODES", str(tmp_path / "nodes"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    algorithms = ("--algorithms", "exact", "optimal-stopping", "ppo", "dqn", "--total-timesteps", 8192, "--seeds", 2)
    sweep = ("sweep", "--traces", recorded, *algorithms, "--targets", 1.5)
    sweep = (*sweep, "--observations", "tests.helpers.nodes:noted_columns")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        seenn(*sweep, "--address", cluster.address, "--output", tmp_path / "cluster")
    finally:
        cluster.shutdown()
    assert len(list((tmp_path / "nodes").iterdir())) == 2
    seenn(*sweep, "--workers", 0, "--output", tmp_path / "alone")
    assert len(contents(tmp_path / "alone")) == 8
    assert contents(tmp_path / "cluster") == contents(tmp_path / "alone")


@pytest.mark.slow
def test_an_address_without_a_cluster_is_one_sentence(recorded, tmp_path, capsys):
    pytest.importorskip("ray", reason="Ray is not installed: extra `sweep`")
    sweep = ("sweep", "--traces", recorded, "--output", tmp_path / "out", "--address", "127.0.0.1:1")
    assert "Expected a running Ray cluster at 127.0.0.1:1, got none" in refused(capsys, *sweep)


@pytest.mark.slow
def test_ctrl_c_on_ray_ends_in_one_line_and_keeps_the_finished(recorded, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: extra `sweep`")
    sweep = ("sweep", "--traces", recorded, "--algorithms", "exact", "ppo", "--total-timesteps", 10**9, "--seeds", 1)
    process = start_python("-m", "agents.main", *sweep, "--targets", 1.5, "--workers", 2, "--output", tmp_path / "out")
    assert process.stdout.readline() == "train 2 of 2 policies\n"
    assert process.stdout.readline() == "1/2: exact @ 1.5, seed 0\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "seenn: stopped; the same command goes on from there.\n"
    assert process.returncode == 130
    assert sorted(contents(tmp_path / "out")) == ["exact@1.5-seed0.safetensors"]
