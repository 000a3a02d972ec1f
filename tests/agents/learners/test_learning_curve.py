"""Learning curves: every algorithm writes exact evaluations, and so does the callback in anybody's own script."""

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import agents
from agents.learners import write_means
from agents.learners.learning_curve import POINTS, TAGS, ExactEvaluation
from backbones import InputError
from seenn_env import EarlyExitEnv, EarlyExitVectorEnv, Traces, evaluate, to_sb3
from tests.helpers.tensorboard_server import Server, scalars
from tests.helpers.traces import make_traces


@pytest.fixture(scope="module")
def traces():
    rng = np.random.default_rng(0)
    parts = []
    for seed, split in enumerate(("policy", "calibration")):
        part = make_traces(400, split=split, seed=seed)
        images = rng.integers(0, 256, (400, 1, 8, 8), dtype=np.uint8)
        sample = np.arange(400) + 400 * seed
        facts = {"sample": sample, "images": images, "image_index": sample}
        parts.append(Traces(logits=part.logits, labels=part.labels, split=split, **facts))
    return Traces.merge(*parts)


def layout_and_tags(server):
    """Tags of the layout of the tab "Custom scalars", and tags that have data."""
    charts = [chart for category in server.json("custom_scalars/layout")["category"] for chart in category["chart"]]
    wanted = {tag.removesuffix("$") for chart in charts for tag in chart.get("multiline", {}).get("tag", ())}
    series = [each for chart in charts for each in chart.get("margin", {}).get("series", ())]
    wanted |= {each[part] for each in series for part in ("value", "lower", "upper")}
    return wanted, {tag for tags in server.json("scalars/tags").values() for tag in tags}


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("exact", {}),
        ("optimal-stopping", {}),
        ("one-shot", {}),
        ("ppo", {"total_timesteps": 4096, "num_envs": 4, "n_epochs": 1}),
        ("a2c", {"total_timesteps": 1024, "num_envs": 4}),
        ("dqn", {"total_timesteps": 8000, "gradient_steps": 1}),
        ("qrdqn", {"total_timesteps": 8000, "gradient_steps": 1}),
        ("recurrent-ppo", {"total_timesteps": 1024, "num_envs": 4, "n_epochs": 1}),
    ],
)
def test_every_algorithm_has_a_curve_that_ends_at_the_trained_policy(traces, tmp_path, algorithm, options):
    if algorithm in ("qrdqn", "recurrent-ppo"):
        pytest.importorskip("sb3_contrib", reason="sb3-contrib is not installed: extra `contrib`")
    target = None if algorithm == "one-shot" else 1.5
    policy = agents.train(algorithm, traces, target_timesteps=target, log_dir=tmp_path, **options)
    found = scalars(tmp_path / f"{algorithm}-seed0")
    tags = TAGS if target is not None else {*TAGS} - {"accuracy_at_target"}
    assert {tag for tag in found if tag.startswith("eval/")} == {f"eval/{tag}" for tag in tags}
    for tag in tags:
        assert 50 <= len(found[f"eval/{tag}"]) <= POINTS + 2, tag
        assert max(found[f"eval/{tag}"]) == 1000
    held = traces.select("calibration")
    values = ExactEvaluation(held, reward="seenn" if target is None else "linear", target_timesteps=target)(policy)
    if target is not None:
        wanted = values["eval/accuracy_at_target"]
        assert found["hparam/accuracy_at_target"][0] == pytest.approx(wanted, abs=1e-3)
        references = {folder.name for folder in (tmp_path / "reference").iterdir()}
        assert "oracle" in references
        assert any(name.endswith("at 1.5") for name in references)
    assert (found["eval/accuracy"][1000] == pytest.approx(found["hparam/accuracy"][0], abs=1e-3)) or target is not None


def test_the_values_are_those_of_an_evaluation(traces):
    held = traces.select("calibration")
    rule = agents.Confidence(0.8)
    values, result = ExactEvaluation(held, target_timesteps=2)(rule), evaluate(rule, held)
    assert values["eval/accuracy"] == pytest.approx(100 * result.accuracy)
    assert values["eval/mean_timesteps"] == pytest.approx(result.mean_timesteps)
    cost = 0.1 * (result.mean_timesteps - 1) / (held.timesteps - 1)
    assert values["eval/return"] == pytest.approx(result.accuracy - cost, abs=1e-6)
    calibrated = evaluate(agents.calibrate(rule, held, target_timesteps=2), held)
    assert values["eval/accuracy_at_target"] == pytest.approx(100 * calibrated.accuracy, abs=0.3)


def test_a_second_training_is_a_second_run_and_seeds_have_a_mean(traces, tmp_path):
    for seed in (0, 0, 1):
        agents.train("exact", traces, target_timesteps=1.5, seed=seed, log_dir=tmp_path, steps=40)
    runs = ["exact-seed0", "exact-seed0-2", "exact-seed1"]
    assert all((tmp_path / run).is_dir() for run in runs)
    assert len(list(tmp_path.glob("events*"))) == 1  # the layout
    before = layout_and_tags(Server(tmp_path, runs=5))
    write_means(tmp_path, "exact")
    after = layout_and_tags(Server(tmp_path, runs=6))
    for (wanted, logged), count in ((before, 4), (after, 4 + 2 * 4)):
        assert len(wanted) == count
        assert wanted <= logged
    mean, each = scalars(tmp_path / "exact (mean of 3 seeds)"), [scalars(tmp_path / run) for run in runs]
    for tag in TAGS:
        last = [found[f"eval/{tag}"][1000] for found in each]
        assert mean[f"eval/{tag}"][1000] == pytest.approx(np.mean(last), rel=1e-5)
        assert mean[f"seeds/{tag}_low"][1000] == pytest.approx(min(last), rel=1e-5)
        assert mean[f"seeds/{tag}_high"][1000] == pytest.approx(max(last), rel=1e-5)


def test_the_callback_writes_into_the_log_of_anybodys_model(traces, tmp_path):
    env = to_sb3(EarlyExitVectorEnv(16, traces))
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=64, tensorboard_log=str(tmp_path), device="cpu")
    held = traces.select("calibration")
    model.learn(2048, callback=agents.EvaluationCallback(held, target_timesteps=1.5, every=256))
    (folder,) = tmp_path.iterdir()
    found = scalars(folder)
    assert {f"eval/{tag}" for tag in TAGS} <= set(found)
    assert sorted(found["eval/accuracy"]) == [256 * place for place in range(9)]
    policy = agents.learners.LearnedPolicy.of(model, observation="features")
    assert found["eval/accuracy"][2048] == pytest.approx(100 * evaluate(policy, held).accuracy, abs=1e-3)
    model.learn(512, callback=agents.EvaluationCallback(held))


@pytest.mark.parametrize(("steps", "num_envs", "points"), [(8192, 16, 201), (1024, 64, 17)])
def test_the_callback_writes_at_each_200th_of_a_training_and_the_end_once(traces, tmp_path, steps, num_envs, points):
    env = to_sb3(EarlyExitVectorEnv(num_envs, traces))
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=512, n_epochs=1, tensorboard_log=str(tmp_path), device="cpu")
    model.learn(steps, callback=agents.EvaluationCallback(traces.select("calibration")[:20]))
    log = EventAccumulator(str(tmp_path / "PPO_1"), size_guidance={"scalars": 0}).Reload()
    assert len(log.Scalars("eval/accuracy")) == len({event.step for event in log.Scalars("eval/accuracy")}) == points


def test_the_callback_refuses_test_rows_and_a_model_without_a_log(traces):
    with pytest.raises(InputError, match="another split for evaluations in training"):
        agents.EvaluationCallback(make_traces(100, split="test"))
    with pytest.raises(InputError, match="target_timesteps from 1 to T = 4, got 99"):
        agents.EvaluationCallback(traces.select("calibration"), target_timesteps=99)
    model = PPO("MlpPolicy", to_sb3(EarlyExitVectorEnv(4, traces)), n_steps=16, batch_size=64)
    with pytest.raises(InputError, match="pass tensorboard_log"):
        model.learn(64, callback=agents.EvaluationCallback(traces.select("calibration")))


@pytest.mark.parametrize("wrapped", ["native", "dummy", "normalised"])
def test_the_callback_refuses_rows_of_another_kind_than_the_environments(traces, tmp_path, wrapped):
    known = Traces(logits=traces.logits, labels=traces.labels, split="policy", info={"fingerprint": "own"})
    if wrapped == "native":
        env = to_sb3(EarlyExitVectorEnv(4, known))
    else:
        env = DummyVecEnv([lambda: Monitor(EarlyExitEnv(known))])
        env = VecNormalize(env) if wrapped == "normalised" else env
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=16, tensorboard_log=str(tmp_path), device="cpu")
    own = Traces(logits=known.logits, labels=known.labels, split="calibration", info=known.info)
    others = {
        "timesteps = 4, as in the environment, got 6": make_traces(100, T=6, split="calibration"),
        "num_classes = 5, as in the environment, got 3": make_traces(100, K=3, split="calibration"),
        "traces of the backbone own, got traces of another": Traces(
            logits=own.logits, labels=own.labels, split="calibration", info={"fingerprint": "another"}
        ),
    }
    for message, rows in others.items():
        with pytest.raises(InputError, match=message):
            model.learn(64, callback=agents.EvaluationCallback(rows))
    with pytest.raises(InputError, match=r"observation='rich' to be that of the model's env.* columns confidence, "):
        model.learn(64, callback=agents.EvaluationCallback(own, observation="rich"))
    with pytest.raises(InputError, match=r"got 'featurs'.*Did you mean 'features'"):
        agents.EvaluationCallback(own, observation="featurs")
    model.learn(16, callback=agents.EvaluationCallback(own))


def test_a_policy_of_ones_own_script_is_bound_to_its_backbone_when_it_is_calibrated(traces):
    env = to_sb3(EarlyExitVectorEnv(4, traces))
    policy = agents.learners.LearnedPolicy.of(PPO("MlpPolicy", env, device="cpu"), observation="features")
    held = traces.select("calibration")
    calibrated = agents.calibrate(policy, held, target_timesteps=2)
    assert calibrated.made_for == held.timesteps
    with pytest.raises(InputError, match="timesteps"):
        evaluate(calibrated, make_traces(50, T=6))


def test_a_training_that_did_not_finish_is_replaced_by_the_next_of_its_name(traces, tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    def train(**options):
        agents.train("exact", traces, target_timesteps=1.5, log_dir=tmp_path, steps=40, **options)

    for option in ("on_progress", "on_trained"):  # in the middle, and while the policy is saved
        with pytest.raises(KeyboardInterrupt):
            train(**{option: stop})
    with pytest.raises(KeyboardInterrupt):
        train(on_progress=stop, on_trained=stop)
    saved = []
    train(on_trained=saved.append)
    assert len(saved) == 1
    found = sorted(path.name for path in tmp_path.iterdir() if not path.is_file())
    assert found == ["exact-seed0", "reference"]
    assert len(list((tmp_path / "exact-seed0").iterdir())) == 1
    assert not list(tmp_path.glob(".*"))
    train()
    assert (tmp_path / "exact-seed0-2").is_dir()
