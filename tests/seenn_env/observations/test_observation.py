"""Every observation is the same bit for bit replayed and live, lies in finite bounds and names its columns."""

import numpy as np
import pytest

from backbones import InputError
from seenn_env import ChooseTimestepEnv, EarlyExitEnv, EarlyExitVectorEnv, Traces, make_observation, record
from seenn_env.observations import Observation, TraceShape
from seenn_env.observations.columns import MEMBRANE_RANGE, features
from tests.helpers.recorded import BATCH, few_samples, full_traces, small_backbone


def two_largest(shape: TraceShape) -> Observation:
    """A user's own: the two largest logits, and the mean spikes."""
    bound = np.array([30, 30, 1], np.float32)

    def columns(logits, previous, timestep, timesteps, hidden):
        return np.concatenate([np.sort(logits, -1)[:, -2:].clip(-30, 30), hidden.mean(-1, keepdims=True)], -1)

    return Observation("two", shape.timesteps, ("second", "first", "spikes"), -bound, bound, columns, ("hidden",))


OWN = f"{__name__}:two_largest"
SUMS = ["rich+classes", "rich+hidden", "hidden+membrane+logits", f"logits+{OWN}"]
OBSERVATIONS = ["features", "logits", "rich", "classes", "hidden", "membrane", *SUMS, two_largest, OWN]
LIVE = {"backbone": small_backbone(), "samples": few_samples(), "repeats": 2, "batch_size": BATCH}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("observation", [*OBSERVATIONS, "image", "image_float"])
def test_replay_and_live_are_bit_equal(observation, dtype):
    image = observation in ("image", "image_float")
    make = ChooseTimestepEnv if image else EarlyExitEnv
    replay = make(full_traces(dtype=dtype), observation=observation)
    live = make(**LIVE, dtype=dtype, observation=observation)
    assert replay.observation_space == live.observation_space
    assert replay.observation_names == live.observation_names
    rng = np.random.default_rng(0)
    for row in range(24):
        (a, info_a), (b, info_b) = (env.reset(options={"samples": row}) for env in (replay, live))
        ended = False
        while not ended:
            assert a.dtype == b.dtype == replay.observation_space.dtype
            assert np.array_equal(a, b)
            assert info_a == info_b
            assert a in replay.observation_space
            action = int(rng.integers(replay.action_space.n))
            (a, reward_a, ended, _, info_a), (b, reward_b, _, _, info_b) = (e.step(action) for e in (replay, live))
            assert reward_a == reward_b
        assert info_a == info_b
        assert np.array_equal(a, b)


@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_every_column_has_a_name_and_finite_bounds(observation):
    env = EarlyExitVectorEnv(4, full_traces(), observation=observation)
    space = env.single_observation_space
    assert len(set(env.observation_names)) == space.shape[0]
    assert np.isfinite(space.low).all()
    assert np.isfinite(space.high).all()


def test_hidden_is_the_features_and_the_recorded_spikes():
    traces = full_traces(dtype="float32")
    columns = traces.columns("hidden")
    assert np.array_equal(columns[..., :6], traces.columns("features"))
    assert np.array_equal(columns[..., 6:], traces.hidden)


def test_rich_columns_are_those_of_their_names():
    logits = np.array([[[1.0, 3.0, 0.0], [2.0, 1.0, 0.0]]], np.float32)
    traces = Traces(logits=logits, labels=[0], split="policy")
    names = traces.observation("rich").names
    columns = traces.columns("rich")[0].astype(float)
    p = np.exp(logits[0].astype(float))
    log_sum_exp, p = np.log(p.sum(-1)), p / p.sum(-1, keepdims=True)
    summed = np.exp(2 * logits[0, 1].astype(float))
    wanted = {
        "gap": [2, 1],
        "top_logit": [3, 2],
        "log_sum_exp": log_sum_exp,
        "summed_confidence": [p[0].max(), summed.max() / summed.sum()],
        "answer_before": [0, p[0, 0]],  # the answer is class 0 now
        "margin_before": [0, p[0, 1] - p[0, 0]],
        "probability_1": [p[0, 1], p[1, 0]],
        "probability_3": [p[0, 2], p[1, 2]],
    }
    assert np.array_equal(columns[:, :6], traces.columns("features")[0])
    for name, values in wanted.items():
        assert columns[:, names.index(name)] == pytest.approx(np.array(values), rel=1e-5), name
    classes = traces.columns("rich+classes")[0, :, len(names) :]
    assert classes.tolist() == [[0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 1, 0]]


@pytest.mark.parametrize(
    "parts", [("rich", "hidden"), ("hidden", "membrane", "classes"), ("logits", "features"), ("logits", OWN)]
)
def test_a_sum_has_the_columns_of_its_parts_in_order_each_once(parts):
    traces = full_traces()
    whole, names = traces.columns("+".join(parts)), list(traces.observation("+".join(parts)).names)
    wanted = dict.fromkeys(name for part in parts for name in traces.observation(part).names)
    assert names == list(wanted)
    for part in parts:
        spec = traces.observation(part)
        places = [names.index(name) for name in spec.names]
        assert np.array_equal(whole[..., places], traces.columns(part))
        space = traces.observation("+".join(parts))
        assert np.array_equal(space.low[places], spec.low)
        assert np.array_equal(space.high[places], spec.high)


def test_membrane_is_clipped_to_its_stated_range():
    traces = full_traces()
    wild = type(traces)(
        logits=traces.logits, labels=traces.labels, split="policy", membrane=traces.membrane * np.float16(1000)
    )
    assert np.abs(wild.columns("membrane")).max() == MEMBRANE_RANGE


@pytest.mark.parametrize("name", ["hidden", "membrane"])
def test_an_observation_of_a_field_that_was_not_recorded_is_refused(name):
    bare = record(small_backbone(), few_samples(), batch_size=BATCH)
    with pytest.raises(InputError, match=f"Expected {name} .*record with {name}=True"):
        EarlyExitEnv(bare, observation=name)


def test_the_image_is_refused_where_columns_are_wanted():
    with pytest.raises(InputError, match="only ChooseTimestep shows the image"):
        EarlyExitEnv(full_traces(), observation="image")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (lambda logits, previous, timestep, T: logits, r"Expected columns \[24, 1\] of the observation 'mine'"),
        (lambda logits, previous, timestep, T: logits[:, :1] + 100, "Expected the observation 'mine' within its"),
        (lambda logits, previous, timestep, T: logits[:, :1] * np.nan, "Expected the observation 'mine' within its"),
        (lambda logits, previous, timestep, T: "text", "observation 'mine' to return numbers, but: it returned 'text'"),
        (lambda logits, previous, timestep, T: np.full((24, 1), "0.5"), "to return numbers, but: it returned <U3 "),
        (lambda logits, previous, timestep, T: np.full((24, 1), 1j), "but: it returned complex128 "),
        (lambda logits: logits, r"Expected columns\(logits, previous, timestep, timesteps\) of the .*, but: .*takes 1"),
        (
            lambda logits, previous, timestep, T: (logits - logits.mean(0))[:, :1].clip(-9, 9),
            r"each row of the observation 'mine' to be computed of itself alone, got \[0.0\] of the first row",
        ),
    ],
)
def test_a_users_columns_that_break_their_promise_are_refused(columns, message):
    one = np.ones(1, np.float32)
    mine = Observation("mine", 4, ("x",), -9 * one, 9 * one, columns)
    with pytest.raises(InputError, match=message):
        full_traces().columns(mine)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ("feature", "Expected the name of a known observation, got 'feature'"),
        ("rich+feature", "Expected the name of a known observation, got 'feature'. Known: .*features.*membrane"),
        ("rich+", "Expected the name of a known observation, got ''"),
        ("rich+hidden+rich", "Expected every part of an observation once, got .*: join some of features, logits, rich"),
        ("features+image", "got the observation 'image': only ChooseTimestep shows the image"),
        ("no_such_module:thing", "Expected the observation 'no_such_module:thing' to be importable"),
        ("tests.helpers.recorded:BATCH", "Expected an Observation, or a function of a TraceShape"),
        (make_observation("features", timesteps=7, num_classes=10), "Expected an observation for T = 4"),
    ],
)
def test_values_that_make_no_observation_are_refused(observation, message):
    with pytest.raises(InputError, match=message):
        EarlyExitEnv(full_traces(), observation=observation)


def test_infinite_bounds_are_refused():
    with pytest.raises(InputError, match="Expected finite bounds"):
        Observation("mine", 4, ("x",), np.zeros(1), np.full(1, np.inf), features)
