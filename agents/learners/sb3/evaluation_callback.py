"""A callback for anybody's own training with stable-baselines3: exact evaluations as scalars."""

from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import TensorBoardOutputFormat
from stable_baselines3.common.vec_env import VecEnv

from agents.learners.learning_curve import POINTS, ExactEvaluation
from agents.learners.sb3.policy import LearnedPolicy
from backbones import InputError
from backbones.argument_checks import Positive, check_kinds
from seenn_env import Traces
from seenn_env.environments import Origin
from seenn_env.observations import AnyObservation
from seenn_env.rewards import AnyReward


class EvaluationCallback(BaseCallback):
    """Evaluates the model exactly on held-out rows, and writes into the model's own TensorBoard log.

        model = PPO("MlpPolicy", env, tensorboard_log="runs/ppo")
        model.learn(300_000, callback=agents.EvaluationCallback(traces.select("calibration"), target_timesteps=1.5))

    The scalars are "eval/accuracy" (%), "eval/mean_timesteps", "eval/return" (the mean reward), and with a target
    "eval/accuracy_at_target", the accuracy (%) at the level whose mean timesteps are nearest to it.

    Args:
        traces: held-out rows, of split "calibration" as a rule.
        target_timesteps: mean timesteps.
        observation: that of the model.
        reward: of "eval/return".
        reward_options: of the reward.
        every: environment steps between evaluations (default: a 200th of the training); vectors of more environments
            than that are evaluated at each of their steps.

    Raises:
        InputError: for rows of split "test", an unknown observation, and, when training begins, for rows of another T,
            K or backbone than the environment's, another observation, or a model without `tensorboard_log`.
    """

    @check_kinds
    def __init__(
        self,
        traces: Traces,
        *,
        target_timesteps: float | None = None,
        observation: AnyObservation = "features",
        reward: AnyReward = "linear",
        reward_options: dict[str, Any] | None = None,
        every: Positive | None = None,
    ) -> None:
        super().__init__()
        traces.refuse_test("evaluations in training")
        self.evaluation = ExactEvaluation(
            traces, reward=reward, reward_options=reward_options, target_timesteps=target_timesteps
        )
        self.observation, self.every = observation, every
        self._names = traces.observation(observation).names
        self._last = 0

    def _on_training_start(self) -> None:
        self._check_env(self.training_env)
        formats = self.logger.output_formats
        self._writers = [each.writer for each in formats if isinstance(each, TensorBoardOutputFormat)]
        if not self._writers:
            raise InputError("Expected a model with a log for TensorBoard, got one without: pass tensorboard_log.")
        self._write()

    def _check_env(self, env: VecEnv) -> None:
        """Refuse an environment of this package that shows other columns, or rows of another kind."""
        origin = env.get_attr("origin", 0)[0] if env.has_attr("origin") else None
        if not isinstance(origin, Origin):
            return
        origin.check_rows(self.evaluation.traces)
        names = env.get_attr("observation_names", 0)[0]
        if names != self._names:
            raise InputError(
                f"Expected observation={self.observation!r} to be that of the model's environment, which has the "
                f"columns {', '.join(names)}: pass the same to both."
            )

    def _on_step(self) -> bool:
        if self._place() > self._last and self.num_timesteps < self.model._total_timesteps:  # the end has its own
            self._write()
        return True

    def _on_training_end(self) -> None:
        self._write()
        for writer in self._writers:
            writer.flush()

    def _place(self) -> int:
        """Number of the interval between two evaluations that the training is in."""
        if self.every is not None:
            return self.num_timesteps // self.every
        return self.num_timesteps * POINTS // self.model._total_timesteps

    def _write(self) -> None:
        self._last = self._place()
        policy = LearnedPolicy.of(self.model, observation=self.observation)
        for tag, value in self.evaluation(policy).items():
            for writer in self._writers:
                writer.add_scalar(tag, value, self.num_timesteps)
