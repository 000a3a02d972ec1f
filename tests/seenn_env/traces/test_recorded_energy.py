"""Energy is recorded as it is counted, live equals replay, and reports show it."""

import re

import numpy as np
import pytest
import torch

import agents
import backbones as bb
import seenn_env
from agents.commands.record import Record
from backbones.contract import make_keys
from backbones.energy import EnergyModel, Metered, count_operations
from seenn_env import ChooseTimestepEnv, EarlyExitEnv, Traces, evaluate, record
from seenn_env.traces import recording, synaptic_operations, with_energy
from tests.helpers.recorded import BATCH, few_samples, small_backbone


@pytest.fixture(scope="module")
def metered() -> Traces:
    return record(small_backbone(), few_samples(), repeats=2, batch_size=BATCH, hidden=True, energy=True)


def test_recorded_energy_is_that_of_the_operations_counted_by_hand(metered):
    samples = few_samples()
    plain = record(small_backbone(), samples, repeats=2, batch_size=BATCH)
    assert np.array_equal(metered.logits, plain.logits)
    shows = np.repeat(np.arange(len(samples)), 2)[:BATCH]
    images = torch.from_numpy(samples.images[shows])
    keys = torch.from_numpy(make_keys(samples.index[shows], np.arange(BATCH) % 2))
    network, total = small_backbone(), 0
    state = network.start(images, keys)
    for t in range(4):
        with count_operations(network) as counter:
            _, state = network.step(state)
            total = total + counter.take().counts
        assert np.array_equal(metered.operations[:BATCH, t], total[:, :3])
        assert np.array_equal(metered.spikes[:BATCH, t], total[:, 3])
    assert np.array_equal(metered.energy_pj, (0.9 * metered.operations[..., 1]).astype(np.float32))  # Poisson: no MAC
    assert metered.info["energy_model"] == {"pj_per_ac": 0.9, "pj_per_mac": 4.6}


def test_another_model_needs_no_other_recording(metered):
    model = EnergyModel(pj_per_ac=2.0, pj_per_mac=3.0)
    again = record(
        small_backbone(), few_samples(), repeats=2, batch_size=BATCH, hidden=True, energy=True, energy_model=model
    )
    changed = with_energy(metered, model)
    assert np.array_equal(changed.energy_pj, again.energy_pj)
    assert changed.info == again.info
    metrics = synaptic_operations(metered)
    assert list(metrics) == ["Effective_MACs", "Effective_ACs", "Dense"]
    assert metrics["Effective_ACs"] == pytest.approx(metered.energy_pj.mean(0) / 0.9)
    assert metrics["Dense"] == pytest.approx(metrics["Dense"][0] * np.arange(1, 5))


def test_energy_is_saved_selected_and_merged(metered, tmp_path):
    loaded = Traces.load(metered.save(tmp_path / "a.safetensors"))
    both = Traces.merge(loaded[:5], loaded[5:])
    for traces in (loaded, both):
        for name in ("energy_pj", "operations", "spikes"):
            assert np.array_equal(getattr(traces, name), getattr(metered, name))
    assert "energy nJ an image, up to and with: t=1 " in loaded.summary()


def test_a_metered_recording_that_was_killed_continues_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "_SECONDS_BETWEEN_SAVES", 0)
    network, samples, arguments = small_backbone(), few_samples(), {"batch_size": 4, "energy": True}
    whole = record(network, samples, tmp_path / "whole.safetensors", **arguments).path.read_bytes()
    step, calls = network.step, 0

    def dying(state):
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return step(state)

    with monkeypatch.context() as patch:
        patch.setattr(network, "step", dying, raising=False)
        with pytest.raises(KeyboardInterrupt):
            record(network, samples, tmp_path / "a.safetensors", **arguments)
    with pytest.raises(bb.InputError, match="other settings"):
        record(network, samples, tmp_path / "a.safetensors", **arguments, energy_model=EnergyModel(1.0))
    assert record(network, samples, tmp_path / "a.safetensors", **arguments).path.read_bytes() == whole


@pytest.mark.parametrize("encoding", ["poisson", "direct"])
def test_the_energy_reward_live_is_that_of_the_traces(encoding):
    network = small_backbone(encoding=encoding)
    traces = record(network, few_samples(), repeats=2, batch_size=BATCH, energy=True)
    live = {"backbone": network, "samples": few_samples(), "repeats": 2, "batch_size": BATCH}
    replayed, running = EarlyExitEnv(traces, reward="energy"), EarlyExitEnv(**live, reward="energy")
    for row in (0, 3, 23, 3):
        for steps in range(4):
            for env in (replayed, running):
                env.reset(options={"samples": row})
            for step in range(steps + 1):
                ends = [env.step(int(step == steps)) for env in (replayed, running)]
                assert ends[0][1:] == ends[1][1:]
                if ends[0][2]:
                    break
    one_shot = [ChooseTimestepEnv(traces, reward="energy", observation="features")]
    one_shot.append(ChooseTimestepEnv(**live, reward="energy", observation="features"))
    for action in range(4):
        rewards = [(env.reset(options={"samples": 7}), env.step(action)[1])[1] for env in one_shot]
        assert rewards[0] == rewards[1]


def test_live_counts_only_where_the_reward_asks_for_it(monkeypatch):
    monkeypatch.setattr(Metered, "step", lambda *_: pytest.fail("counted"))
    env = EarlyExitEnv(backbone=small_backbone(), samples=few_samples())
    env.reset(seed=0)
    env.step(1)
    assert not isinstance(env.dynamics.backbone, Metered)


def test_the_energy_of_the_rest_is_computed_once_for_each_row(monkeypatch):
    step, calls = Metered.step, []
    monkeypatch.setattr(Metered, "step", lambda *given: (calls.append(1), step(*given))[1])
    env = EarlyExitEnv(backbone=small_backbone(), samples=few_samples(), reward="energy")
    for expected in (4, 1, 1):  # the first time, the other three timesteps run for the account
        calls.clear()
        env.reset(options={"samples": 5})
        env.step(1)
        assert len(calls) == expected


def test_a_network_that_cannot_be_counted_is_refused_for_the_energy_reward():
    class Opaque:
        """Not a module."""

        def __init__(self, network):
            self.timesteps, self.num_classes, self.device = network.timesteps, network.num_classes, network.device
            self.start, self.step, self.refill = network.start, network.step, network.refill
            self.fingerprint = network.fingerprint

    class Fused(torch.nn.Module):
        """Steps around its modules."""

        def __init__(self, network):
            super().__init__()
            self.unused = torch.nn.Linear(2, 2)
            vars(self).update(vars(Opaque(network)))

    for backbone, message in ((Opaque(small_backbone()), "torch.nn.Module"), (Fused(small_backbone()), "ran none")):
        with pytest.raises(bb.InputError, match=message):
            EarlyExitEnv(backbone=backbone, samples=few_samples(), reward="energy")
        with pytest.raises(bb.InputError, match=message):
            record(backbone, few_samples(), energy=True)


def test_a_row_that_does_nothing_pays_no_energy():
    network = small_backbone(encoding="latency")
    dark = few_samples().select(slice(4))
    dark = bb.Samples(**{**vars(dark), "images": np.zeros_like(dark.images)})
    traces = record(network, dark, energy=True)
    assert (traces.energy_pj == 0).all()
    assert np.isfinite(
        evaluate(agents.FixedTimestep(2), traces, reward=EarlyExitEnv(traces, reward="energy").reward).rewards
    ).all()


def test_evaluation_and_comparison_report_the_mean_energy_at_the_exits(metered):
    fixed = evaluate(agents.FixedTimestep(2), metered)
    assert np.array_equal(fixed.energy_pj, metered.energy_pj[:, 1])
    assert fixed.mean_energy_pj == pytest.approx(metered.energy_pj[:, 1].mean())
    policies = {"fixed": agents.FixedTimestep(2), "confidence": agents.Confidence(threshold=0.3)}
    comparison = agents.compare(policies, metered)
    assert "timesteps  energy nJ  exits" in comparison.table()
    assert f"{fixed.mean_energy_pj / 1000:9.4g}" in comparison.table()
    assert comparison["fixed"].energy_pj == comparison.to_dict()["rows"][0]["energy_pj"] == fixed.mean_energy_pj
    plain = agents.compare(policies, record(small_backbone(), few_samples()))
    assert "energy" not in plain.table()


def test_the_command_records_energy_under_a_model_of_ones_own(tmp_path):
    file = bb.save(bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=2), tmp_path / "net")
    model = EnergyModel(pj_per_ac=1.0, pj_per_mac=1.0)
    Record(backbone=file or tmp_path / "net", output=tmp_path / "t.safetensors", energy=True, energy_model=model).run()
    traces = Traces.load(tmp_path / "t.safetensors")
    assert np.array_equal(traces.energy_pj, traces.operations[..., :2].sum(-1).astype(np.float32))


@pytest.mark.parametrize(
    ("name", "value"),
    [("operations", np.zeros((24, 4, 2), np.int64)), ("spikes", np.zeros((24, 4), np.int32))],
)
def test_counts_of_another_shape_or_dtype_are_refused(metered, name, value):
    facts = {"logits": metered.logits, "labels": metered.labels, "split": "policy"}
    with pytest.raises(bb.InputError, match=rf"Expected {name} \[N, T.*\] = \[24, 4.* of int64, got"):
        Traces(**facts, **{name: value})
    with pytest.raises(bb.InputError, match=f"Expected {name} from 0 that never falls"):
        Traces(**facts, **{name: getattr(metered, name)[:, ::-1]})


def test_an_energy_model_without_energy_is_refused(digits):
    network = bb.build("small", num_classes=10, timesteps=2, input_shape=(1, 8, 8), width=4)
    with pytest.raises(bb.InputError, match=re.escape("energy=True with an energy_model")):
        seenn_env.record(network, digits.test.select(np.arange(4)), energy_model=EnergyModel(1.0))
