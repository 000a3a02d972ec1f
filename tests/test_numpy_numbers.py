"""NumPy's numbers, as a sweep over `np.arange` or `np.linspace` gives them, are taken and saved as Python's."""

import numpy as np
import pytest

import agents
import backbones as bb
import seenn_env
from agents.learners import TabularStopping
from agents.rules import ConformalSets
from backbones.energy import EnergyModel
from seenn_env import Traces
from tests.helpers.recorded import few_samples, small_backbone
from tests.helpers.traces import make_traces

whole, single = np.int64, np.float32
HELD_OUT = make_traces(40, split="calibration", seed=1)
QUICK = {
    "steps": whole(3),
    "seed": whole(1),
    "batch_size": whole(8),
    "hidden": (whole(4),),
    "learning_rate": single(0.01),
}


@pytest.mark.parametrize(
    "make",
    [
        lambda: agents.Margin(single(0.5)),
        lambda: agents.FixedTimestep(whole(2)),
        lambda: agents.Uniform(whole(3)),
        lambda: agents.PerTimestep(agents.Margin(), tuple(np.full(3, 0.1, single))),
        lambda: agents.Margin().at_level(single(0.3)),
        lambda: agents.calibrate(agents.Margin(), HELD_OUT, target_timesteps=single(2), randomise=True, seed=whole(2)),
        lambda: ConformalSets(size=whole(1)).fit(HELD_OUT),
        lambda: TabularStopping.fit(HELD_OUT, bins=whole(3), cost=single(0.1)),
        lambda: agents.train("exact", make_traces(40), reward_options={"cost": single(0.1)}, **QUICK),
        lambda: agents.train("optimal-stopping", make_traces(40), trees=whole(2), leaves=whole(2), seed=whole(0)),
    ],
)
def test_policies_are_saved_and_loaded(make, tmp_path):
    policy = make()
    again = agents.load(agents.save(policy, tmp_path / "policy", about={"seed": whole(1)}))
    exits = [seenn_env.evaluate(each, HELD_OUT).exit_timesteps for each in (policy, again)]
    assert np.array_equal(*exits)


def test_networks_recordings_and_comparisons_are_saved(tmp_path):
    neuron = {"type": "lif", "decay": single(0.5), "v_threshold": single(0.3)}
    shape = tuple(np.array([1, 8, 8]))
    network = bb.build(
        "small", num_classes=whole(10), timesteps=whole(3), input_shape=shape, mean=single(0.5), neuron=neuron
    )
    bb.save(network, tmp_path / "network")
    assert bb.load(tmp_path / "network").fingerprint == network.fingerprint
    settings = {
        "batch_size": whole(4),
        "repeats": whole(2),
        "energy": True,
        "energy_model": EnergyModel(pj_per_mac=single(4)),
    }
    traces = seenn_env.record(small_backbone(), few_samples(), tmp_path / "traces", **settings)
    assert (traces.info["batch_size"], traces.info["energy_model"]["pj_per_mac"]) == (4, 4.0)
    assert bb.load_dataset("digits", seed=whole(3)).division == bb.load_dataset("digits", seed=3).division
    agents.compare({"fixed": agents.FixedTimestep(whole(2))}, HELD_OUT, seed=whole(1), log_dir=tmp_path / "report")


def test_facts_that_json_does_not_hold_are_refused_before_anything_is_recorded():
    given = {"logits": HELD_OUT.logits, "labels": HELD_OUT.labels, "split": "test"}
    assert Traces(**given, info={"seed": whole(3), "rates": [single(0.5)]}).info == {"seed": 3, "rates": [0.5]}
    with pytest.raises(bb.InputError, match="Expected info of facts that JSON holds, but: Object of type ndarray"):
        Traces(**given, info={"rates": np.zeros(2)})
