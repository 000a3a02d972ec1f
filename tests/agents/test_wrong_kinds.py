"""Every argument of the policies' functions, in a dozen wrong kinds: taken, or refused by the project's own error."""

import inspect

import numpy as np
import pytest
import torch

import agents
from agents.calibration.curve import exit_curve, exits_at, level_curve
from agents.calibration.guarantees import control_risk
from agents.calibration.level_search import calibrate
from agents.calibration.randomised import Mixed
from agents.comparison.bootstrap import Clusters, across_seeds, mean_interval
from agents.comparison.comparison import compare
from agents.comparison.learning_headroom import headroom
from agents.comparison.multiple_comparisons import holm, max_t
from agents.deployment.classification import answers, classify
from agents.deployment.onnx import export
from agents.learners.exact.policy import ExitNetwork
from agents.learners.learning_curve import write_means
from agents.learners.one_shot.policy import TimestepNetwork
from agents.learners.sb3.evaluation_callback import EvaluationCallback
from agents.learners.sb3.policy import LearnedPolicy
from agents.learners.sb3.training import load_sb3, make_model
from agents.learners.stopping.policy import OptimalStopping
from agents.learners.stopping.tabular import TabularStopping
from agents.learners.training import train
from agents.policy_files import load, save
from agents.rules.conformal import ConformalSets
from agents.rules.per_timestep import PerTimestep
from agents.rules.scaled_confidence import ScaledConfidence
from agents.rules.thresholds import (
    Confidence,
    Entropy,
    FixedTimestep,
    Gap,
    Margin,
    Oracle,
    Patience,
    SummedConfidence,
    Uniform,
)
from backbones.errors import InputError
from seenn_env.evaluation import observation_of
from seenn_env.traces.traces import Traces
from tests.helpers.recorded import few_samples, full_traces, small_backbone
from tests.helpers.traces import make_traces
from tests.helpers.wrong_kinds import foreign_errors, fuzzed, good, methods, walked

TREES = {"trees": 1, "leaves": 2, "smallest_leaf": 1}
EXACT = {"steps": 1, "batch_size": 8, "hidden": (2,)}

QUICK = {"n_steps": 2, "batch_size": 2, "n_epochs": 1}
HELD_OUT = make_traces(40, split="calibration", seed=1)
NAN = float("nan")
NONSENSE = [
    lambda: Confidence(NAN),
    lambda: Margin(True),
    lambda: FixedTimestep(True),
    lambda: Patience(NAN),
    lambda: Uniform(-1),
    lambda: ConformalSets(size=0),
    lambda: PerTimestep(Margin(), thresholds=(NAN,)),
    lambda: PerTimestep(Margin),
    lambda: Margin().at_level(NAN),
    lambda: Mixed(Margin(), 0.5, 1.5),
    lambda: TabularStopping(np.zeros((3, 1)), np.zeros((3, 3))),
    lambda: TabularStopping(torch.zeros((3, 2)), torch.zeros((3, 3), dtype=torch.int64)),
    lambda: TabularStopping.fit(HELD_OUT, bins=0),
    lambda: calibrate(Margin(), HELD_OUT, target_timesteps=NAN),
    lambda: calibrate(Margin(), HELD_OUT, target_timesteps=True),
    lambda: calibrate(Margin(), HELD_OUT, target_cost=0, costs=[-1, 0, 1, 2]),
    lambda: calibrate(Margin(), HELD_OUT, target_cost=0, costs=["a", "b", "c", "d"]),
    lambda: calibrate(Margin, HELD_OUT, target_timesteps=2),
    lambda: control_risk(Margin(), HELD_OUT, max_risk=NAN),
    lambda: headroom(HELD_OUT, targets=[]),
    lambda: compare({}, HELD_OUT),
    lambda: compare({"none": []}, HELD_OUT),
    lambda: compare({"margin": Margin()}, HELD_OUT, seed=-1),
    lambda: train("exact", make_traces(40), total_timesteps=5),
    lambda: train("exact", make_traces(40), seed=-1),
    lambda: train("exact", make_traces(40), steps=True),
    lambda: train("ppo", make_traces(40), num_envs=0),
]


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    learned_from, held_out = make_traces(40), HELD_OUT
    both, full, network, some = Traces.merge(learned_from, held_out), full_traces(), small_backbone(), few_samples()
    save(Margin(), folder / "margin.safetensors")
    model = make_model("ppo", learned_from, num_envs=2)
    model.save(folder / "model.zip")
    exact = train("exact", learned_from, **EXACT)
    stopping = train("optimal-stopping", learned_from, **TREES)
    one_shot = train("one-shot", full, epochs=1, width=2)
    sb3 = LearnedPolicy.of(model, observation="features")
    table = TabularStopping.fit(learned_from, bins=2)
    rules = (Confidence, Entropy, Gap, Margin, SummedConfidence, ScaledConfidence, Patience)
    policies = (
        *(rule() for rule in rules),
        ConformalSets(),
        exact,
        stopping,
        one_shot,
        sb3,
        table,
        Mixed(Margin(), 0.5, 0.5),
    )
    fitted = (ScaledConfidence(), ConformalSets(), PerTimestep(ScaledConfidence()))
    ready = [rule.fit(held_out) for rule in fitted[:2]] + [PerTimestep(Margin(), (0.5, 0.5, 0.5))]
    ready += [Uniform(), FixedTimestep(2), Oracle()]
    compared = compare({"margin": Margin()}, held_out)
    curve = exit_curve(Margin(), held_out)
    (folder / "ppo-seed0").mkdir()
    costs, clusters = np.arange(1.0, 5.0), Clusters(np.arange(4))
    return {
        **{rule.__name__: good(rule) for rule in (*rules, Uniform)},
        **{
            name: call
            for each in (
                *policies,
                *(rule.fit(held_out) for rule in fitted[:2]),
                PerTimestep(Margin(), (0.5, 0.5, 0.5)),
                Uniform(),
                FixedTimestep(2),
                Oracle(),
            )
            for name, call in methods(
                type(each).__name__,
                lambda each=each: each,
                observation=full.images[:4] if each is one_shot else held_out.columns(observation_of(each))[:4, 0],
                images=full.images[:4],
                traces=full if each is one_shot else held_out,
                level=0.5,
                timesteps=4,
                trees=1,
                model=model,
                nonconformity=np.ones(4, np.float32),
            ).items()
        },
        **methods("compare", lambda: compared, family="margin", policy="margin"),
        **methods("Curve", lambda: curve, target_timesteps=1.5),
        "FixedTimestep": good(FixedTimestep, timestep=1),
        "ConformalSets": good(ConformalSets, nonconformity=np.zeros((4, 3), np.float32)),
        "ExitNetwork": good(ExitNetwork, tensors=exact.tensors, observation="features", timesteps=4, settings={}),
        "OptimalStopping": good(
            OptimalStopping, tensors=stopping.tensors, observation="features", timesteps=4, settings={}
        ),
        "TimestepNetwork": good(TimestepNetwork, network=one_shot.network, shape=(1, 8, 8), timesteps=4, settings={}),
        "EvaluationCallback": good(EvaluationCallback, traces=held_out, every=8, target_timesteps=1.5),
        "LearnedPolicy": good(LearnedPolicy, network=sb3.network, settings={}),
        "LearnedPolicy.of": good(LearnedPolicy.of, model=model, observation="features"),
        "TabularStopping": good(TabularStopping, edges=table.edges, gains=table.gains, settings={}),
        "TabularStopping.fit": good(TabularStopping.fit, traces=learned_from, cost=0.1),
        "Mixed": good(Mixed, policy=Margin(), other=0.5, share=0.5),
        "PerTimestep": good(PerTimestep, rule=Margin()),
        "Comparison[]": (compared.__getitem__, {"name": "margin"}),
        "calibrate": good(calibrate, policy=Margin(), traces=held_out, target_timesteps=1.5),
        "calibrate by accuracy": good(calibrate, policy=Margin(), traces=held_out, target_accuracy=0.5),
        "calibrate by cost": good(calibrate, policy=Margin(), traces=held_out, target_cost=1.5, costs=costs),
        "calibrate by energy": good(
            calibrate, policy=Margin(), traces=held_out, target_timesteps=2, target_energy_pj=None
        ),
        "calibrate by risk": good(calibrate, policy=Margin(), traces=held_out, max_risk=0.5),
        "control_risk": good(control_risk, policy=Margin(), traces=held_out, max_risk=0.5),
        "exit_curve": good(exit_curve, policy=Margin(), traces=held_out),
        "exits_at": good(exits_at, scores=np.zeros((4, 3)), level=0.5),
        "level_curve": good(level_curve, scores=np.zeros((4, 3)), correct=np.ones((4, 4), bool)),
        "Clusters": good(Clusters, sample=np.arange(4)),
        "mean_interval": good(mean_interval, values=np.ones(4), clusters=clusters),
        "across_seeds": good(across_seeds, values=[np.ones(4)], clusters=clusters),
        "holm": good(holm, p_values=[0.1, 0.2]),
        "max_t": good(max_t, estimates=np.ones(2), draws=np.ones((3, 2))),
        "write_means": good(write_means, log_dir=folder, algorithm="ppo"),
        "compare": good(compare, policies={"margin": Margin(), "exact": exact}, traces=held_out),
        "compare entries": (lambda policy: compare({"it": policy}, held_out), {"policy": Margin()}),
        "headroom": good(headroom, traces=make_traces(12, T=2), targets=(1.5,), folds=2),
        "train exact": good(train, algorithm="exact", traces=both, **EXACT),
        "train to a target": good(train, algorithm="exact", traces=both, target_timesteps=2.0, steps=1, imitation=1),
        "train optimal-stopping": good(train, algorithm="optimal-stopping", traces=both, **TREES),
        "train one-shot": good(train, algorithm="one-shot", traces=full, epochs=1, width=2, batch_size=8),
        "train ppo": (
            lambda **given: train("ppo", both, total_timesteps=2, **given, **QUICK),
            {"num_envs": 2, "seed": 0, "reward": "linear"},
        ),
        "load_sb3": good(load_sb3, algorithm="ppo", path=folder / "model.zip", traces=both, learning_rate=0.1),
        "save": good(save, policy=Margin(), path="x.safetensors"),
        "load": good(load, path=folder / "margin.safetensors"),
        "export": good(export, network=network, policy=Margin(), folder="x", num_slots=2),
        "classify": good(classify, inputs=some, backbone=network, policy=Margin(), num_slots=2, dtype="float32"),
        "answers": (
            lambda **given: list(answers(**given)),
            good(answers, inputs=some, backbone=network, policy=Margin())[1],
        ),
    }


def test_a_wrong_kind_of_argument_never_ends_in_somebody_elses_error(functions, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a "text" may be a path
    exporting = inspect.getmodule(export)
    monkeypatch.setattr(exporting, "network_files", lambda network, num_slots: {})  # each takes seconds
    monkeypatch.setattr(exporting, "_policy_file", lambda network, policy, num_slots: b"")
    found = [error for name, call in functions.items() for error in foreign_errors(name, *call)]
    assert not found, "\n".join(found)


def test_every_name_at_the_door_is_walked(functions):
    assert set(agents.__all__) <= walked(functions)


@pytest.mark.parametrize("call", NONSENSE)
def test_plain_nonsense_is_refused(call):
    with pytest.raises(InputError):
        call()


@pytest.mark.parametrize("examples", [100, pytest.param(3400, marks=pytest.mark.slow)])
def test_calls_of_random_values_end_in_an_answer_or_a_sentence(functions, examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exporting = inspect.getmodule(export)
    monkeypatch.setattr(exporting, "network_files", lambda network, num_slots: {})  # each takes seconds
    monkeypatch.setattr(exporting, "_policy_file", lambda network, policy, num_slots: b"")
    found = fuzzed(functions, examples)
    assert not found, "\n".join(found)
