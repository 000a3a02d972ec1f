"""Extreme numbers and sizes, live and replayed: a right answer, or one sentence, and no warning of NumPy."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

import agents
import backbones as bb
from agents import Confidence, Entropy, Margin, PerTimestep, calibrate, compare
from agents.calibration import control_risk, exit_curve
from agents.rules import ConformalSets, Gap, Patience, ScaledConfidence, SummedConfidence
from backbones import InputError
from seenn_env import EarlyExitEnv, EarlyExitVectorEnv, LiveVectorEnv, Traces, evaluate, record
from seenn_env.rendering import ansi, rgb_array
from tests.helpers.recorded import few_samples, small_backbone

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

SIZES = {
    "K = 2": (8, 3, 2),
    "K = 1000": (4, 2, 1000),
    "T = 1": (8, 1, 3),
    "T = 64": (4, 64, 3),
    "one sample": (1, 3, 3),
}
VALUES = {
    "float32's largest": (np.float32, [3.4e38, -3.4e38, 0]),
    "float16's largest": (np.float16, [65504, -65504, 0]),
    "subnormal": (np.float32, [1e-45, -1e-45, 0]),
    "float16's subnormal": (np.float16, [6e-8, -6e-8, 0]),
    "equal": (np.float32, [0, 0, 0]),
}
RULES = (Confidence, Entropy, Margin, Gap, Patience, SummedConfidence, ScaledConfidence, ConformalSets)
FEW = {
    "exact": {"steps": 2, "hidden": (2,)},
    "optimal-stopping": {"trees": 2, "leaves": 2, "smallest_leaf": 1},
    "one-shot": {"epochs": 1, "width": 2},
    "ppo": {"total_timesteps": 8, "num_envs": 2, "n_steps": 2, "batch_size": 2, "n_epochs": 1},
    "dqn": {"total_timesteps": 8, "num_envs": 2, "learning_starts": 2, "batch_size": 2},
}


def extreme(size, values, split="policy"):
    """Traces of these values; all classes but the first are missing."""
    dtype, choices = values
    N, T, _ = size
    energy = np.zeros((N, T), np.float32)
    images = {"images": np.zeros((N, 1, 8, 8), np.uint8), "image_index": np.arange(N)}
    logits = np.random.default_rng(0).choice(np.array(choices, dtype), size)
    return Traces(logits=logits, labels=np.zeros(N, int), split=split, energy_pj=energy, **images)


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def size(request):
    return request.param


@pytest.fixture(
    params=[pytest.param(each, marks=[pytest.mark.slow] * bool(place)) for place, each in enumerate(VALUES.values())],
    ids=VALUES,
)
def values(request):
    return request.param


def test_figures_of_extreme_traces_are_finite(size, values):
    traces = extreme(size, values)
    for observation in ("features", "rich", "logits", "classes"):
        columns, spec = traces.columns(observation), traces.observation(observation)
        assert np.isfinite(columns).all()
        assert (columns >= spec.low).all()
        assert (columns <= spec.high).all()
    for reward in ("seenn", "linear", "energy"):
        assert np.isfinite(traces.rewards(reward)).all()
        env = EarlyExitVectorEnv(2, traces, reward=reward)
        observation, _ = env.reset(seed=0)
        for _ in range(3):
            assert env.observation_space.contains(observation)
            observation, rewards, *_ = env.step(env.action_space.sample())
            assert np.isfinite(rewards).all()
    assert "nan" not in traces.summary()


@pytest.mark.parametrize("kind", RULES)
def test_rules_are_calibrated_on_extreme_traces(kind, size, values):
    traces, T = extreme(size, values), size[1]
    for rule in (kind(), PerTimestep(kind())):
        policy = calibrate(rule, traces, target_timesteps=(1 + T) / 2)
        result = evaluate(policy, traces)
        assert 0 <= result.accuracy <= 1
        assert 1 <= result.mean_timesteps <= T
        assert np.isfinite(exit_curve(policy, traces).mean_timesteps).all()
        if len(traces) > 1:  # else it is refused
            assert 1 <= evaluate(control_risk(policy, traces, max_risk=0.5).policy, traces).mean_timesteps <= T


@pytest.mark.parametrize("algorithm", FEW)
def test_learners_learn_from_extreme_traces(algorithm, size, values):
    traces = extreme(size, values)
    policy = agents.train(algorithm, traces, **FEW[algorithm])
    assert 1 <= evaluate(policy, traces).mean_timesteps <= size[1]
    policy = calibrate(policy, traces, target_timesteps=(1 + size[1]) / 2)
    assert not np.isnan(policy.level)
    assert 1 <= evaluate(policy, traces).mean_timesteps <= size[1]


def test_comparisons_and_pictures_of_extreme_traces_have_figures(size, values, tmp_path):
    traces = extreme(size, values, "test")
    policies = {
        "margin": Margin(),
        "confidence": Confidence(),
        "fixed": agents.FixedTimestep(1),
        "oracle": agents.Oracle(),
    }
    assert "nan" not in compare(policies, traces, log_dir=tmp_path).table()
    assert "NaN" not in (tmp_path / "comparison.json").read_text()
    assert (tmp_path / "report.html").stat().st_size
    env = EarlyExitEnv(traces, split="test", render_mode="rgb_array")
    env.reset(seed=0)
    assert rgb_array(env.episode).any()
    assert "nan" not in ansi(env.episode)


class State(NamedTuple):
    """Rows of a table, and their timesteps."""

    rows: torch.Tensor
    timestep: torch.Tensor


class Scripted:
    """A backbone whose logits `[N, T, K]` are given: a row's key is its place in the table."""

    fingerprint, device, sample_shape = "scripted", torch.device("cpu"), (1, 2, 2)

    def __init__(self, logits):
        self.logits = logits
        _, self.timesteps, self.num_classes = logits.shape

    def start(self, inputs, keys=None):
        return State(keys >> 16, torch.zeros_like(keys))

    def step(self, state):
        now = state.timestep.clamp(max=self.timesteps - 1)
        return self.logits[state.rows, now], state._replace(timestep=state.timestep + 1)

    def refill(self, state, rows, inputs, keys=None):
        new = self.start(inputs, keys)
        return State(*(old.index_copy(0, rows, fresh) for old, fresh in zip(state, new, strict=True)))


def scripted(size, values, dtype):
    """Such a backbone, and samples for it."""
    N = size[0]
    logits = np.random.default_rng(0).choice(np.array(values, np.float32), size)
    samples = bb.Samples(np.zeros((N, 1, 2, 2), np.uint8), np.zeros(N, int), None, (), "scripted", "policy")
    return Scripted(torch.from_numpy(logits).to(dtype)), samples


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "numbers", [[65504, -65504, 0], [3e38, -3e38, 1], [1e-45, -1e-45, 6e-8], [np.nan, 0, 1], [-np.inf, 0, 1]], ids=str
)
def test_live_and_replay_agree_or_refuse_extreme_logits(numbers, dtype, size):
    network, samples = scripted(size, numbers, dtype)
    for stored in ("float32", "float16"):
        pool = {"backbone": network, "samples": samples, "dtype": stored, "order": "sequential", "reward": "linear"}
        uses = (
            lambda pool=pool: LiveVectorEnv(len(samples), **pool),
            lambda stored=stored: record(network, samples, batch_size=2, dtype=stored),
            *(
                lambda rule=rule, stored=stored: agents.classify(samples, network, rule, num_slots=2, dtype=stored)
                for rule in (Margin(1.0), Confidence(), Entropy(), Gap(), Patience(2))
            ),
        )
        with np.errstate(over="ignore"):
            expected = network.logits.float().numpy().astype(stored)
        if not np.isfinite(expected[:, 0]).all():
            for use in uses:
                with pytest.raises(InputError, match=r"^Expected (finite logits|logits that float16 holds).*\.$"):
                    use().reset(seed=0)
            continue
        if not np.isfinite(expected).all():
            with pytest.raises(InputError, match=r"^Expected"):
                uses[1]()
            continue  # whether a policy meets the number depends on its exits
        env, traces = uses[0](), uses[1]()
        assert np.array_equal(traces.logits, expected)
        for rule, use in zip((Margin(1.0), Confidence(), Entropy(), Gap(), Patience(2)), uses[2:], strict=True):
            live, replayed = use(), evaluate(rule, traces)
            assert live.timesteps.tolist() == replayed.exit_timesteps.tolist()
            assert live.predictions.tolist() == replayed.predictions.tolist()
        other = EarlyExitVectorEnv(len(samples), traces, order="sequential", reward="linear")
        assert np.array_equal(env.reset(seed=0)[0], other.reset(seed=0)[0])
        for step in range(3):
            actions = np.full(len(samples), step % 2)
            for one, two in zip(env.step(actions)[:3], other.step(actions)[:3], strict=True):
                assert np.array_equal(one, two)


@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 65504, 2, -1, 1e-45, 6e-8, 0, 1])
def test_a_network_answers_for_extreme_images_or_refuses_them(value, dtype, optimized):
    network = small_backbone(encoding="direct")
    network = network.optimize(dtype="bfloat16", min_agreement=None) if optimized else network
    images = torch.from_numpy(few_samples().images).to(dtype) / 255
    alone = network.step(network.start(images))[0]
    images[3, 0, 2, 2] = value
    if not 0 <= value <= 1:
        with pytest.raises(InputError, match=r"^Expected (inputs|images).*(NaN or infinity|in \[0, 1\])"):
            network.start(images)
        return
    logits, _ = network.step(network.start(images))
    others = [row for row in range(len(images)) if row != 3]
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits[others], alone[others])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_number_that_is_not_finite_is_refused(value):
    logits = np.zeros((3, 2, 2), np.float16)
    logits[1, 1, 0] = value
    with pytest.raises(InputError, match="NaN or infinity in row 1"):
        Traces(logits=logits, labels=[0, 1, 0], split="policy")
