"""The programs of examples/, run small, and their results judged."""

import importlib.util
import json
import re

import numpy as np
import pytest
import torch
import yaml
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import seenn_env
from seenn_env.registration import REGISTERED
from tests.helpers.programs import ROOT, load_program, run_python

EXAMPLES = ROOT / "examples"
ENVIRONMENT = "seenn_env/EarlyExit-v0"
ZOO = ("a2c", "dqn", "ppo", "ppo_lstm", "qrdqn", "trpo")
SETTINGS_OF_THE_ZOO = ("n_timesteps", "n_envs", "policy")

needs_contrib = pytest.mark.skipif(
    importlib.util.find_spec("sb3_contrib") is None, reason="sb3-contrib is not installed: pip install '.[contrib]'"
)
needs_zoo = pytest.mark.skipif(
    importlib.util.find_spec("rl_zoo3") is None, reason="RL Zoo is not installed: pip install '.[zoo]'"
)


def example(name):
    return load_program(f"examples/{name}")


def calibration_return(policy):
    traces = seenn_env.Traces.load("digits", split="calibration")
    return seenn_env.evaluate(policy, traces, reward=seenn_env.make_reward("seenn")).rewards.mean()


def always_exit_return():
    traces = seenn_env.Traces.load("digits", split="calibration")
    return seenn_env.make_reward("seenn")(traces.correct[:, 0], np.array(1), traces.timesteps).mean()


def random_return():
    """The expected return of exiting with probability ½ at each step."""
    traces = seenn_env.Traces.load("digits", split="calibration")
    T = traces.timesteps
    chance = 0.5 ** np.minimum(np.arange(1, T + 1), T - 1)
    rewards = seenn_env.make_reward("seenn")(traces.correct, np.arange(1, T + 1), T)
    return (rewards @ chance).mean()


def test_sb3_ppo_learns_and_is_evaluated_on_calibration_images(capsys, tmp_path):
    model = example("sb3_ppo").main(total_timesteps=40_000, num_envs=256, log_dir=tmp_path)
    assert calibration_return(model) > random_return() + 0.2
    log = EventAccumulator(str(tmp_path / "PPO_1")).Reload()
    assert log.Scalars("eval/return")[-1].value == pytest.approx(calibration_return(model), abs=1e-4)
    assert "test: return 0." in capsys.readouterr().out


@needs_contrib
def test_recurrent_ppo_learns_and_is_compared_with_a_rule_at_equal_timesteps(capsys):
    model = example("sb3_contrib_recurrent_ppo").main(total_timesteps=8192, num_envs=32)
    assert calibration_return(model) > random_return() + 0.1
    rows = [
        line.split("]") for line in capsys.readouterr().out.splitlines() if line.startswith(("RecurrentPPO", "margin"))
    ]
    learned, rule = (float(cells[1].split()[0]) for cells in rows)
    assert learned == pytest.approx(rule, abs=0.05)


def test_cleanrl_ppo_learns_more_than_always_exiting_in_seconds(tmp_path, capsys):
    names = example("cleanrl_ppo")
    agent = names.main(names.Args(total_timesteps=300_000, log_dir=str(tmp_path)))
    assert calibration_return(agent) > always_exit_return() + 0.01
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert "charts/episodic_return" in capsys.readouterr().out


def test_cleanrl_ppo_is_the_same_again_for_the_same_seed():
    names = example("cleanrl_ppo")
    args = names.Args(total_timesteps=8192, num_envs=64, seed=3)
    first, second = names.main(args), names.main(args)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_bare_class_is_compared_and_lies_between_always_exiting_and_the_oracle():
    comparison = example("custom_policy").main()
    row = comparison["wait for agreement"]
    first = seenn_env.Traces.load("digits", split="test").accuracy[0]
    assert first < row.accuracy.estimate <= comparison["oracle"].accuracy.estimate
    assert row.mean_timesteps == pytest.approx(comparison["margin"].mean_timesteps, abs=0.1)
    assert row.mean_timesteps < comparison["uniform"].mean_timesteps


def algorithms() -> dict[str, type[BaseAlgorithm]]:
    from sb3_contrib import QRDQN, TRPO, RecurrentPPO

    return {"a2c": A2C, "dqn": DQN, "ppo": PPO, "ppo_lstm": RecurrentPPO, "qrdqn": QRDQN, "trpo": TRPO}


@needs_contrib
@pytest.mark.parametrize("algo", ZOO)
def test_the_settings_for_rl_zoo_are_ones_that_the_algorithm_takes(algo):
    listed = yaml.safe_load((EXAMPLES / "rl_zoo" / f"{algo}.yml").read_text())
    assert set(listed) == set(REGISTERED) - {"seenn_env/EarlyExitLive-v0"}
    for name in (ENVIRONMENT, "seenn_env/ChooseTimestep-v0"):
        settings = listed[name]
        arguments = {key: value for key, value in settings.items() if key not in SETTINGS_OF_THE_ZOO}
        model = algorithms()[algo](settings["policy"], make_vec_env(name, n_envs=2), device="cpu", **arguments)
        assert model.gamma == 1.0


@needs_contrib
def test_the_page_on_libraries_shows_the_figures_that_the_benchmark_wrote():
    table = load_program("benchmarks/policies/rl_libraries").table
    page = (ROOT / "docs" / "rl_libraries.md").read_text()
    assert table(json.loads((ROOT / "benchmarks" / "policies" / "rl_libraries.json").read_text())) in page


def test_the_page_on_libraries_runs_and_its_links_lead_somewhere(capsys):
    page = (ROOT / "docs" / "rl_libraries.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block.replace("100_000", "20_000"), "rl_libraries.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.85
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page):
        assert (ROOT / "docs" / link).exists(), link


@needs_zoo
@pytest.mark.slow
@pytest.mark.parametrize("algo", ZOO)
def test_rl_zoo_trains_on_the_environment_as_it_is(algo, tmp_path):
    config = EXAMPLES / "rl_zoo" / f"{algo}.yml"
    command = ["-m", "rl_zoo3.train", "--algo", algo, "--env", ENVIRONMENT]
    command += ["--gym-packages", "seenn_env", "--conf-file", str(config), "--device", "cpu", "--num-threads", "1"]
    command += ["--log-folder", str(tmp_path), "--seed", "0", "--eval-freq", "-1", "--verbose", "0"]
    run_python(*command)
    (saved,) = tmp_path.glob(f"{algo}/*/*.zip")
    assert calibration_return(algorithms()[algo].load(saved, device="cpu")) > always_exit_return() + 0.01


def test_a_torchvision_resnet_is_converted_and_ppo_learns_when_it_may_stop():
    comparison = example("convert_torchvision_resnet").main(epochs=2, timesteps=12, total_timesteps=8192)
    first, last = (comparison[f"fixed t={t}"].accuracy.estimate for t in (1, 12))
    row = comparison["SEENN-II"]
    assert last > 0.8
    assert row.mean_timesteps < 8
    assert row.accuracy.estimate > first + 0.05


def test_a_network_laid_out_as_seenns_own_is_converted_with_the_thresholds_it_learned():
    before, after = example("convert_qcfs_network").main(epochs=4)
    assert before > 0.8
    assert after[-1] > before - 0.03
    assert len(after) == 32
