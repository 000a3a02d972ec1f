"""Every argument of the environments' functions, in a dozen wrong kinds: taken, or refused by our own error."""

import inspect

import gymnasium as gym
import numpy as np
import pytest

import seenn_env
from agents.rules.thresholds import Margin
from backbones.contract.slot_pool import SlotPool
from backbones.energy import EnergyModel
from backbones.errors import InputError
from seenn_env.checking.check import check_vector_env
from seenn_env.environments.choose_timestep import ChooseTimestepEnv
from seenn_env.environments.dynamics import Settings, make_dynamics
from seenn_env.environments.early_exit import EarlyExitEnv
from seenn_env.evaluation import decides, evaluate, observation_of
from seenn_env.observations.observation import Observation, TraceShape, make_observation
from seenn_env.rendering.episode import Episode, Score
from seenn_env.rendering.frame import rgb_array
from seenn_env.rendering.text import ansi
from seenn_env.rewards import EnergyReward, LinearReward, SeennReward, make_reward
from seenn_env.sb3.vec_env import to_sb3
from seenn_env.streaming import ArrayFeed, stream
from seenn_env.traces.energy import synaptic_operations, with_energy
from seenn_env.traces.recording import record
from seenn_env.traces.traces import Traces
from seenn_env.vector.choose_timestep import ChooseTimestepVectorEnv
from seenn_env.vector.early_exit import EarlyExitVectorEnv, LiveVectorEnv
from tests.helpers.recorded import few_samples, full_traces, small_backbone
from tests.helpers.wrong_kinds import foreign_errors, fuzzed, good, methods, walked

GIVEN = {"Evaluation", "Policy"}
"""A result, and a protocol."""

NONSENSE = [
    lambda: EarlyExitEnv(full_traces(), repeats=0),
    lambda: EarlyExitEnv(backbone=small_backbone(), samples=few_samples(), repeats=0),
    lambda: EarlyExitEnv(full_traces()).reset(seed=True),
    lambda: EarlyExitEnv(full_traces()).reset(options={"samples": 1.0}),
    lambda: EarlyExitVectorEnv(True, full_traces()),
    lambda: EarlyExitVectorEnv(2, full_traces(), max_episode_steps=0),
    lambda: LinearReward(-1),
    lambda: LinearReward(float("inf")),
    lambda: SeennReward(True),
    lambda: EnergyReward(float("nan")),
    lambda: EnergyModel(True),
    lambda: TraceShape(0, 10),
    lambda: make_observation("features", timesteps=4, num_classes=0),
    lambda: Traces(logits=np.zeros((2, 1, 2), np.float32), labels=np.array([0, 0.5]), split="test"),
    lambda: Traces(logits=np.zeros((2, 1, 2), np.float32), labels=[0, 1], split=[-1, 0]),
    lambda: Traces(logits=np.zeros((2, 1, 2), np.float32), labels=[0, 1], split=[0.5, 0]),
    lambda: Traces(logits=np.zeros((2, 1, 2), np.float32), labels=[0, 1], split="test", sample=[0, 0.5]),
    lambda: Traces.merge(),
    lambda: full_traces()[[]],
    lambda: full_traces()[[24]],
    lambda: full_traces()[np.ones(3, bool)],
    lambda: ArrayFeed(few_samples().images, np.arange(3)),
    lambda: ArrayFeed(few_samples().images, shows=np.array([12])),
    lambda: decides(Margin),
    lambda: evaluate(Margin, full_traces()),
    lambda: ansi(Episode(np.zeros((1, 3)), label=0, timesteps=4), width=0),
    lambda: Episode(np.zeros((5, 3)), label=0, timesteps=4),
    lambda: Episode(np.zeros((2, 3)), label=3, timesteps=4),
    lambda: Episode(np.zeros((2, 3)), label=0, timesteps=4, spikes=np.zeros((3, 8))),
    lambda: Episode(np.zeros((2, 3)), label=0, timesteps=4, potentials=np.zeros(2)),
    lambda: Episode(np.zeros((2, 3)), label=0, timesteps=4, score=Score("score", np.zeros(3))),
    lambda: Score("score", np.array([0.5, np.nan])),
    lambda: Score("score", np.zeros(1), threshold=float("nan")),
    lambda: rgb_array(Episode(np.zeros((2, 3)), label=0, timesteps=4), size=545),
    lambda: check_vector_env(lambda: None, steps=0),
]


def columns(logits, previous, timestep, timesteps):
    return np.clip(logits[:, :1], -1, 1)


def begun(make, *args, **settings):
    """A function that makes an environment and resets it."""

    def made():
        env = make(*args, **settings)
        env.reset()
        return env

    return made


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    full, network, some = full_traces(), small_backbone(), few_samples()
    counted = record(network, some, energy=True, batch_size=8)
    file = counted.save(tmp_path_factory.mktemp("files") / "traces.safetensors")
    single, vector = EarlyExitEnv(full), EarlyExitVectorEnv(2, full)
    single.reset(seed=0)
    episode = single.episode
    fields = {name: getattr(full, name) for name in ("hidden", "membrane", "images", "image_index")}
    fields |= {name: getattr(counted, name) for name in ("energy_pj", "operations", "spikes")}
    fields = {name: None if value is None else value[:12] for name, value in fields.items()}
    fields |= {"image_index": full.image_index, "images": full.images}
    traces = {"labels": full.labels[:12], "split": "policy", "sample": full.sample[:12], "repeat": full.repeat[:12]}
    traces |= {"logits": full.logits[:12], "info": {}, **fields}
    own = {"name": "own", "timesteps": 4, "names": ("first",), "low": -np.ones(1), "high": np.ones(1)}
    parameters = inspect.signature(make_dynamics).parameters
    settings = {name: parameters[name].default for name in Settings.__annotations__}
    replayed, live = {**settings, "traces": full}, {**settings, "backbone": network, "samples": some}

    def streamed(**given):
        return list(stream(**given))

    def pooled(**given):
        return streamed(**{"pool": SlotPool(network, 4), "feed": ArrayFeed(some.images), **given})

    def options_of(env, rows):
        def reset(samples, reset_mask=None):
            return env.reset(options={"samples": samples, "reset_mask": reset_mask})

        return reset, {"samples": rows}

    exits = {"correct": full.correct, "timestep": np.array([1, 2, 3, 4]), "timesteps": 4, "energy": full.energy()}
    rows = {"logits": full.logits[:, 1], "previous": full.logits[:, 0], "timestep": np.full(24, 2)}
    return {
        **methods("EarlyExitEnv", begun(EarlyExitEnv, full), action=1),
        **methods("EarlyExitEnv live", begun(EarlyExitEnv, backbone=network, samples=some), action=1),
        **methods("ChooseTimestepEnv", begun(ChooseTimestepEnv, full), action=1),
        **methods("EarlyExitVectorEnv", begun(EarlyExitVectorEnv, 2, full), actions=np.ones(2, int)),
        **methods("ChooseTimestepVectorEnv", begun(ChooseTimestepVectorEnv, 2, full), actions=np.ones(2, int)),
        **methods("LiveVectorEnv", begun(LiveVectorEnv, 2, backbone=network, samples=some), actions=np.ones(2, int)),
        **methods(
            "to_sb3",
            begun(lambda: to_sb3(EarlyExitVectorEnv(2, full))),
            actions=np.ones(2, int),
            attr_name="reward",
            value=1,
            method_name="reset",
            wrapper_class=gym.Wrapper,
        ),
        "to_sb3.step": (lambda actions: begun(lambda: to_sb3(vector))().step(actions), {"actions": np.ones(2, int)}),
        **methods(
            "Traces",
            lambda: counted,
            path="digits",
            split="policy",
            fingerprint=None,
            purpose="this",
            observation="features",
            reward="linear",
        ),
        **methods("Observation", lambda: make_observation("rich", timesteps=4, num_classes=10), **rows),
        **{
            name: call
            for reward in ("seenn", "linear", "energy")
            for name, call in methods(
                f"make_reward {reward}", lambda reward=reward: make_reward(reward), **exits
            ).items()
        },
        **methods("ArrayFeed", lambda: ArrayFeed(some.images), count=2),
        **methods("Episode", lambda: episode, label=1, timestep=1, column=0),
        "EarlyExitEnv": good(EarlyExitEnv, **replayed),
        "EarlyExitEnv live": good(EarlyExitEnv, **live),
        "EarlyExitEnv.reset options": options_of(single, 0),
        "ChooseTimestepEnv": good(ChooseTimestepEnv, **replayed),
        "ChooseTimestepEnv live": good(ChooseTimestepEnv, **live),
        "EarlyExitVectorEnv": good(EarlyExitVectorEnv, **replayed),
        "EarlyExitVectorEnv live": good(EarlyExitVectorEnv, **live),
        "EarlyExitVectorEnv.reset options": options_of(vector, [0, 1]),
        "ChooseTimestepVectorEnv": good(ChooseTimestepVectorEnv, **replayed),
        "ChooseTimestepVectorEnv live": good(ChooseTimestepVectorEnv, **live),
        "LiveVectorEnv": good(LiveVectorEnv, **live),
        "Traces": (Traces, traces),
        "Traces.load": good(Traces.load, path=file),
        "Observation.of_trace": (full.observation("logits").of_trace, {"logits": full.logits}),
        "Traces.without": (full.without, {"split": "test"}),
        "Traces.merge": (
            lambda one, other: Traces.merge(one, other),
            {"one": full, "other": full_traces("calibration")},
        ),
        "Traces[]": (full.__getitem__, {"rows": slice(2)}),
        "TraceShape": good(TraceShape, timesteps=4, num_classes=10),
        "Observation": good(Observation, **own, columns=columns),
        "make_observation": good(make_observation, observation="features", timesteps=4, num_classes=10),
        "observation_of": good(observation_of, policy=Margin()),
        "decides": good(decides, policy=Margin()),
        "SeennReward": good(SeennReward),
        "LinearReward": good(LinearReward),
        "EnergyReward": good(EnergyReward),
        "make_reward": good(make_reward, reward="linear", options={"cost": 0.1}),
        "make_reward options": (lambda cost: make_reward("linear", {"cost": cost}), {"cost": 0.1}),
        "record": good(record, backbone=network, samples=some, batch_size=8),
        "evaluate": good(evaluate, policy=Margin(), traces=full, reward=make_reward("seenn")),
        "ArrayFeed": good(ArrayFeed, inputs=some.images, keys=np.arange(12), shows=np.arange(12)),
        "stream": (pooled, good(stream, policy=Margin(), feed=ArrayFeed(some.images), pool=SlotPool(network, 4))[1]),
        "with_energy": good(with_energy, traces=counted, model=EnergyModel()),
        "synaptic_operations": good(synaptic_operations, traces=counted),
        "Episode": good(Episode, **{f: getattr(episode, f) for f in inspect.signature(Episode).parameters}),
        "Score": good(Score, name="score", values=np.zeros(1)),
        "ansi": good(ansi, episode=episode),
        "rgb_array": good(rgb_array, episode=episode),
        "to_sb3": good(to_sb3, vector_env=vector),
        "check_vector_env": good(
            check_vector_env,
            make_vector=lambda: EarlyExitVectorEnv(2, full, order="independent"),
            make_single=lambda row: gym.make("seenn_env/EarlyExit-v0", traces=full),
            steps=3,
        ),
    }


def test_a_wrong_kind_of_argument_never_ends_in_somebody_elses_error(functions, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a "text" may be a path
    found = [error for name, call in functions.items() for error in foreign_errors(name, *call)]
    assert not found, "\n".join(found)


def test_every_name_at_the_door_is_walked(functions):
    assert set(seenn_env.__all__) - walked(functions) == GIVEN


@pytest.mark.parametrize("call", NONSENSE)
def test_plain_nonsense_is_refused(call):
    with pytest.raises(InputError):
        call()


@pytest.mark.parametrize("examples", [100, pytest.param(3400, marks=pytest.mark.slow)])
def test_calls_of_random_values_end_in_an_answer_or_a_sentence(functions, examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = fuzzed(functions, examples)
    assert not found, "\n".join(found)
