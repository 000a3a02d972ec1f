"""SEENN-II (sequential) by the algorithms of stable-baselines3 and sb3-contrib, with presets for short episodes.

model = make_model("dqn", traces.select("policy"), seed=0)
policy = load_sb3("ppo", "model.zip", traces)
"""

import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from agents.calibration.curve import exit_curve
from agents.learners.sb3.policy import LearnedPolicy
from agents.learners.sb3.presets import PRESETS, VALUE_BASED
from agents.learners.sb3.priced_time import FollowTarget, PricedTime
from agents.learners.sb3.teacher import Teacher
from backbones import InputError
from backbones.argument_checks import check_kinds
from backbones.errors import no_file, shown, unknown_name
from backbones.machine import torch_threads
from seenn_env import EarlyExitVectorEnv, Traces, to_sb3
from seenn_env.evaluation import LOST_STATISTICS
from seenn_env.observations import AnyObservation

if TYPE_CHECKING:
    from backbones.event_log import EventLog


def make_model(
    algorithm: str,
    traces: Traces,
    *,
    seed: int = 0,
    observation: AnyObservation = "features",
    reward: str = "linear",
    reward_options: dict[str, Any] | None = None,
    num_envs: int | None = None,
    **overrides: Any,
) -> BaseAlgorithm:
    """An untrained model on an environment of the rows of split "policy".

    The arguments are those of `agents.train`; `num_envs` and `overrides` replace the preset's. An `InputError` for
    unknown names or arguments, or an algorithm of sb3-contrib where that is not installed.
    """
    if algorithm not in PRESETS:
        raise unknown_name("algorithm", algorithm, PRESETS)
    preset = PRESETS[algorithm]
    preset.check(overrides)
    env = to_sb3(
        EarlyExitVectorEnv(
            preset.num_envs if num_envs is None else num_envs,
            traces.select("policy"),
            observation=observation,
            reward=reward,
            reward_options=reward_options,
        ),
        infos="episode",
    )
    arguments = deepcopy({**preset.arguments, **overrides})  # QRDQN writes into its policy_kwargs
    with _arguments_checked(algorithm, overrides):
        model: BaseAlgorithm = preset.algorithm()(preset.policy, env, seed=seed, device="cpu", **arguments)
    return model


def train_sb3(
    algorithm: str,
    traces: Traces,
    *,
    total_timesteps: int,
    target_timesteps: float | None = None,
    log: "EventLog | None" = None,
    on_progress: Callable[[float, Callable[[], LearnedPolicy]], None] | None = None,
    observation: AnyObservation = "features",
    reward: str = "linear",
    reward_options: dict[str, Any] | None = None,
    seed: int = 0,
    **overrides: Any,
) -> LearnedPolicy:
    """A trained policy; the arguments are those of `make_model` and `train`.

    With a target and the reward "linear" the network starts from the policy of the exact learner at that target (a
    `Teacher`), and the price of time is that at which the exact learner meets the target, unless `reward_options` has
    a cost. The learning rate falls to 0 by default. The price of actor-critics follows their mean timesteps, as in
    `train_exit_network`; value-based networks explore at a rate of at most one step an episode, and learn from returns
    of whole episodes. The result is the trained policy, or the one it started from where that is more accurate at the
    target on these rows.
    """
    options = dict(reward_options or {})
    priced = target_timesteps is not None and reward == "linear" and traces.timesteps > 1
    facts: dict[str, Any] = {}

    def policy() -> LearnedPolicy:
        return LearnedPolicy.of(model, observation=observation, settings=facts)

    callbacks: list[BaseCallback] = []
    if on_progress is not None:
        callbacks.append(_Report(lambda step: on_progress(min(step / total_timesteps, 1.0), policy)))
    start: LearnedPolicy | None = None
    with torch_threads(1):
        given = {"cost": 0.0} if priced else options
        taught = _taught_arguments(algorithm, traces.timesteps) if priced else {}
        model = make_model(
            algorithm,
            traces,
            observation=observation,
            reward=reward,
            reward_options=given,
            seed=seed,
            **{**taught, **overrides},
        )
        if priced:
            assert target_timesteps is not None
            assert model.env is not None
            teacher = Teacher.at(traces, target_timesteps, observation=observation, cost=options.get("cost"), seed=seed)
            teacher.teach(model.policy, seed)
            env = PricedTime(model.env, traces.timesteps, teacher.cost)
            model.set_env(env)
            facts = {"cost": teacher.cost}
            if isinstance(model, OnPolicyAlgorithm):
                callbacks.append(FollowTarget(env, target_timesteps))
            else:
                weights = model.policy.state_dict()  # the target network takes the weights of the other
                model.policy.load_state_dict({n: weights[n.replace("_net_target.", "_net.")] for n in weights})
            start = policy()
        model.set_logger(Logger(None, [] if log is None else [_Output(log)]))
        with _arguments_checked(algorithm, overrides):
            model.learn(total_timesteps, callback=CallbackList(callbacks))
    assert model.env is not None
    model.env.close()
    trained = policy()
    if start is None or target_timesteps is None:
        return trained
    curves = [exit_curve(policy, traces) for policy in (start, trained)]
    before, after = (curve.accuracy[curve.nearest(target_timesteps)] for curve in curves)
    return start if before > after else trained


class _Output(TensorBoardOutputFormat):
    """SB3's values in a log that is open already."""

    def __init__(self, log: "EventLog") -> None:
        self.writer, self._is_closed = log, False


@contextmanager
def _arguments_checked(algorithm: str, overrides: dict[str, Any]) -> Iterator[None]:
    """Errors that stable-baselines3 or torch raises as an `InputError`, where arguments replace the preset's."""
    try:
        yield
    except InputError:
        raise
    except (ArithmeticError, AssertionError, LookupError, NameError, RuntimeError, TypeError, ValueError) as error:
        if not overrides:
            raise
        given = ", ".join(f"{name}={shown(value)}" for name, value in overrides.items())
        raise InputError(
            f"Expected arguments with which {algorithm!r} can train, got {given}, but {_first_line(error)}."
        ) from error


def _taught_arguments(algorithm: str, T: int) -> dict[str, Any]:
    """Arguments in place of the preset's for a network that starts from a good policy, in episodes of T steps."""
    preset = PRESETS[algorithm].arguments
    rate = preset["learning_rate"]
    if algorithm not in VALUE_BASED:
        return {"learning_rate": _falling(rate)}
    exploring = min(preset["exploration_final_eps"], 1 / T)  # at every step: more would end most episodes early
    return {
        "learning_rate": _falling(0.3 * rate),
        "exploration_initial_eps": exploring,
        "exploration_final_eps": exploring,
        "n_steps": T - 1,  # whole episodes: bootstrapped estimates, step by step, would lose the initial values
        "learning_starts": 1000,
    }


def _falling(rate: float) -> Callable[[float], float]:
    """A learning rate that falls linearly to 0."""
    return lambda remaining: rate * remaining


@check_kinds
def load_sb3(
    algorithm: str, path: str | Path, traces: Traces, *, observation: AnyObservation = "features", **overrides: Any
) -> LearnedPolicy:
    """The policy of a zip that SB3's `model.save` wrote, read without unpickling.

    SB3's own `load` unpickles the model's class, spaces and arguments. Here a new model of the stated architecture
    loads the zip's weights, which torch reads with `weights_only=True`.

    Args:
        algorithm: a name of `PRESETS`.
        path: the zip.
        traces: of the backbone that it was trained on, with rows of split "policy"; they give the spaces alone.
        observation: name of the observation that it was trained on.
        overrides: arguments of the architecture, such as `policy_kwargs={"net_arch": [64, 64]}` (those of
            SB3's defaults: `policy_kwargs={}`).

    Raises:
        InputError: for a file that is missing or no such zip, weights of another architecture, or a model that was
            trained under VecNormalize, whose statistics no zip holds (undetectable for a value-based one).
    """
    path = Path(path)
    if not path.is_file():
        raise no_file("a zip of stable-baselines3", path)
    small = {"buffer_size": 1000} if algorithm in VALUE_BASED else {}
    with torch_threads(1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You have specified a mini-batch size")  # the model does not train
        model = make_model(algorithm, traces, observation=observation, num_envs=1, **{**small, **overrides})
        try:
            model.set_parameters(str(path), exact_match=True, device="cpu")
            lost = algorithm not in VALUE_BASED and _lost_statistics(path)
        except Exception as error:  # torch, zipfile and SB3 raise many kinds
            raise InputError(
                f"Expected a zip of a {algorithm} model of this architecture at {path}, but {_first_line(error)}: "
                "state its observation and policy_kwargs (policy_kwargs={} for SB3's own defaults)."
            ) from error
    assert model.env is not None
    model.env.close()
    if lost:
        raise InputError(LOST_STATISTICS)
    return LearnedPolicy.of(model, observation=observation, settings={"algorithm": algorithm})


def _lost_statistics(path: Path) -> bool:
    """Whether a zip is of a model that was trained under VecNormalize: it then holds raw observations."""
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("data")).get("_last_original_obs") is not None


def _first_line(error: Exception) -> str:
    lines = [line.strip().rstrip(".:") for line in str(error).splitlines()]
    line = next((line for line in lines if line and not line.startswith("Error(s) in loading")), type(error).__name__)
    return re.sub(r" at 0x\w+", "", line)


class _Report(BaseCallback):
    def __init__(self, report: Callable[[int], None]) -> None:
        super().__init__()
        self.report = report

    def _on_training_start(self) -> None:
        self.report(0)

    def _on_step(self) -> bool:
        self.report(self.num_timesteps)
        return True
