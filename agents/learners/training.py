"""Training of policies by any algorithm: SEENN-II, sequential and one-shot, and optimal stopping.

policy = train("exact", traces, target_timesteps=1.5, seed=0)
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from agents.calibration.best_rule import warn_if_worse
from agents.calibration.level_search import calibrate
from agents.calibration.targets import check_target_timesteps
from agents.learners.exact.policy import ExitNetwork
from agents.learners.exact.training import ExitSettings, train_exit_network
from agents.learners.one_shot.policy import TimestepNetwork
from agents.learners.one_shot.training import TimestepSettings, train_timestep_network
from agents.learners.sb3.policy import LearnedPolicy
from agents.learners.sb3.presets import PRESETS
from agents.learners.stopping.policy import OptimalStopping
from agents.learners.stopping.training import StoppingSettings, fit_optimal_stopping
from agents.rules.score import elapsed_column
from backbones import InputError
from backbones.argument_checks import NarrowSeed, Positive, check_kinds
from backbones.errors import shown, unknown_name, users_own
from backbones.tensor_files import refuse_nan
from seenn_env import Traces, make_reward
from seenn_env.observations import AnyObservation
from seenn_env.rewards import AnyReward

TrainedPolicy = ExitNetwork | LearnedPolicy | OptimalStopping | TimestepNetwork


def _check_columns(traces: Traces, observation: AnyObservation = "features") -> None:
    elapsed_column(traces.observation(observation))


def _check_image(traces: Traces, observation: AnyObservation = "image") -> None:
    if observation != "image":
        raise InputError(f"Expected the observation 'image' for 'one-shot', got {shown(observation)}: omit it.")
    traces.still_images  # noqa: B018  # or an error


@dataclass(frozen=True)
class Trainer:
    """A learner without an environment: traces hold the reward of every exit."""

    settings: type
    """A dataclass."""
    learn: Callable[..., TrainedPolicy]
    """Of traces and settings, with the keyword arguments of `train_exit_network`."""
    check: Callable[..., None]
    """Refuses traces, or an observation of them, that it cannot learn from."""
    for_targets: tuple[str, ...] = ()
    """Settings without effect unless there are a target and the reward "linear"."""


TRAINERS = {
    "exact": Trainer(ExitSettings, train_exit_network, _check_columns, ("dual_rate", "penalty", "imitation")),
    "one-shot": Trainer(TimestepSettings, train_timestep_network, _check_image),
    "optimal-stopping": Trainer(StoppingSettings, fit_optimal_stopping, _check_columns, ("rounds",)),
}
"""By name; a new one is a line here."""

ALGORITHMS = (*PRESETS, *TRAINERS)
"""Names of all algorithms."""


@check_kinds
def train(
    algorithm: str,
    traces: Traces,
    *,
    target_timesteps: float | None = None,
    seed: NarrowSeed = 0,
    observation: AnyObservation | None = None,
    reward: AnyReward | None = None,
    reward_options: dict[str, Any] | None = None,
    total_timesteps: Positive | None = None,
    log_dir: str | Path | None = None,
    on_progress: Callable[[float], None] | None = None,
    on_trained: Callable[[TrainedPolicy], object] | None = None,
    **overrides: Any,
) -> TrainedPolicy:
    """Train a policy on the rows of split "policy".

    Args:
        algorithm: "ppo", "a2c", "dqn", "qrdqn" or "recurrent-ppo" (stable-baselines3), or "exact" (an
            `ExitNetwork` on the exact expected reward), "one-shot" (a `TimestepNetwork`, which needs traces with
            images), "optimal-stopping" (fitted backward induction).
        traces: with rows of split "policy", and of "calibration" where there is a target.
        target_timesteps: calibrate the policy to this mean on the rows of split "calibration"; with the reward
            "linear", all but "one-shot" also train towards it.
        seed: of the network, the episodes and the actions.
        observation: name of the observation, or a user's own (default: "features"; "image" for "one-shot"). "exact" and
            "optimal-stopping" need a column "elapsed" in it.
        reward: name of the reward (default: "linear"; "seenn" for "one-shot").
        reward_options: its options.
        total_timesteps: steps of the environment, for stable-baselines3 alone (default: 300,000).
        log_dir: folder for TensorBoard, in which the training becomes a run ("ppo-seed0") beside runs of references:
            exact evaluations on the rows of split "calibration" (or else "policy") over 1,000 × the fraction done.
        on_progress: called with the fraction done.
        on_trained: called with the policy. Until it returns, the run in `log_dir` counts as unfinished: the next
            training of its name replaces it.
        overrides: arguments of the algorithm in place of the preset's, or fields of its settings.

    Raises:
        InputError: for unknown names, an option that the algorithm does not read, or traces without the rows that
            it needs.
    """
    check_training(
        algorithm,
        traces,
        target_timesteps=target_timesteps,
        observation=observation,
        reward=reward,
        reward_options=reward_options,
        total_timesteps=total_timesteps,
        **overrides,
    )
    calibration = None if target_timesteps is None else traces.select("calibration")
    if reward is None:
        reward = _reward_of(algorithm)
    common: dict[str, Any] = {
        "seed": seed,
        "reward": reward,
        "reward_options": reward_options,
        "target_timesteps": target_timesteps,
        "on_progress": None,
    }
    if observation is not None:
        common["observation"] = observation
    training_rows = traces.select("policy")
    curve = None
    if log_dir is not None:
        from agents.learners.learning_curve import ExactEvaluation, LearningCurve  # imports TensorBoard, which is slow

        held = traces.select("calibration") if "calibration" in traces.split.split("+") else training_rows
        evaluation = ExactEvaluation(
            held, reward=reward, reward_options=reward_options, target_timesteps=target_timesteps
        )
        curve = LearningCurve(log_dir, f"{algorithm}-seed{seed}", evaluation)
    if curve is not None or on_progress is not None:

        def report(done: float, policy: Callable[[], TrainedPolicy]) -> None:
            if curve is not None:
                curve(done, policy)
            if on_progress is not None:
                on_progress(done)

        common["on_progress"] = report
    policy: TrainedPolicy
    if algorithm in PRESETS:
        from agents.learners.sb3.training import train_sb3  # imports stable-baselines3, which is slow

        total = total_timesteps or 300_000
        log = None if curve is None else curve.log
        policy = train_sb3(algorithm, training_rows, total_timesteps=total, log=log, **common, **overrides)
        policy.settings["total_timesteps"] = total
    else:
        trainer = TRAINERS[algorithm]
        policy = trainer.learn(training_rows, trainer.settings(**overrides), **common)
    policy.settings.update(
        {
            "algorithm": algorithm,
            "seed": seed,
            "reward": reward,
            "reward_options": reward_options or {},
            "fingerprint": traces.info.get("fingerprint"),
            "timesteps": traces.timesteps,
        }
    )
    refuse_nan(policy.to_tensors()[0], f"in the policy that {algorithm!r} learned")
    if curve is not None:
        curve.close(policy)
    result = policy
    if calibration is not None and target_timesteps is not None:
        result = calibrate(policy, calibration, target_timesteps=target_timesteps)
        warn_if_worse(result, algorithm, calibration, target_timesteps)
    if on_trained is not None:
        with users_own("an on_trained that takes the policy"):
            on_trained(result)
    if curve is not None:
        curve.finish()
    return result


@check_kinds
def check_training(
    algorithm: str,
    traces: Traces,
    *,
    target_timesteps: float | None = None,
    seed: NarrowSeed = 0,
    observation: AnyObservation | None = None,
    reward: AnyReward | None = None,
    reward_options: dict[str, Any] | None = None,
    total_timesteps: Positive | None = None,
    **overrides: Any,
) -> None:
    """Refuse arguments that `train` refuses, without training."""
    if algorithm not in ALGORITHMS:
        raise unknown_name("algorithm", algorithm, ALGORITHMS)
    if target_timesteps is not None:
        traces.select("calibration")
        check_target_timesteps(target_timesteps, traces)
    reward = _reward_of(algorithm) if reward is None else reward
    make_reward(reward, reward_options)
    rows, own = traces.select("policy"), {} if observation is None else {"observation": observation}
    if algorithm in PRESETS:
        rows.observation(**(own or {"observation": "features"}))
        PRESETS[algorithm].check(overrides)
        return
    if total_timesteps is not None:
        raise InputError(
            f"Expected no total_timesteps for {algorithm!r}, which runs no environment, got {total_timesteps}: omit it."
        )
    trainer = TRAINERS[algorithm]
    accepted = [entry.name for entry in fields(trainer.settings)]
    if target_timesteps is None or reward != "linear":
        accepted = [name for name in accepted if name not in trainer.for_targets]
    if unknown := sorted(overrides.keys() - set(accepted)):
        raise unknown_name(f"setting of {algorithm!r}", unknown[0], accepted)
    trainer.settings(**overrides)
    trainer.check(rows, **own)


def _reward_of(algorithm: str) -> str:
    return "seenn" if algorithm == "one-shot" else "linear"
