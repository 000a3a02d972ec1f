"""Learning when to exit: SEENN-II (sequential), by the algorithms of stable-baselines3.

policy = train("ppo", traces, target_timesteps=1.5, seed=0)
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from agents.calibration import calibrate
from agents.learned import LearnedPolicy
from backbones import InputError, torch_threads, unknown_name
from seenn_env import EarlyExitVectorEnv, Traces, to_sb3

PRESETS: dict[str, tuple[type[BaseAlgorithm], int, dict[str, Any]]] = {
    "ppo": (
        PPO,
        1024,
        {
            "n_steps": 16,
            "batch_size": 4096,
            "n_epochs": 4,
            "learning_rate": 3e-3,
            "gamma": 1.0,
            "gae_lambda": 0.95,
            "ent_coef": 0.0,
            "policy_kwargs": {"net_arch": [64, 64]},
        },
    ),
}
"""Name: (algorithm, number of environments, its arguments): they suit episodes of one to T steps."""


def train(
    algorithm: str,
    traces: Traces,
    *,
    target_timesteps: float | None = None,
    seed: int = 0,
    observation: str = "features",
    reward: str = "linear",
    reward_options: dict[str, Any] | None = None,
    total_timesteps: int = 600_000,
    log_dir: str | Path | None = None,
    on_step: Callable[[int], None] | None = None,
    **overrides: Any,
) -> LearnedPolicy:
    """Train a policy on the rows of split "policy".

    Args:
        algorithm: "ppo".
        traces: with rows of split "policy", and of "calibration" where there is a target.
        target_timesteps: calibrate the policy's threshold to this mean on the rows of split "calibration".
        seed: of the network, the episodes and the actions.
        observation: name of the observation.
        reward: name of the reward.
        reward_options: its options.
        total_timesteps: steps of the environment.
        log_dir: folder for TensorBoard.
        on_step: called with the number of environment steps done.
        overrides: arguments of the algorithm in place of the preset's.

    Raises:
        InputError: for unknown names, or traces without the rows that are needed.
    """
    if algorithm not in PRESETS:
        raise unknown_name("algorithm", algorithm, PRESETS)
    if total_timesteps < 1:
        raise InputError(f"Expected total_timesteps ≥ 1, got {total_timesteps}.")
    kind, num_envs, arguments = PRESETS[algorithm]
    if target_timesteps is not None:
        calibration = traces.select("calibration")
    env = to_sb3(
        EarlyExitVectorEnv(
            num_envs,
            traces.select("policy"),
            observation=observation,
            reward=reward,
            reward_options=reward_options,
        ),
        infos="episode",
    )
    with torch_threads(1):
        model = kind("MlpPolicy", env, seed=seed, device="cpu", **{**arguments, **overrides})
        model.set_logger(configure(None if log_dir is None else str(log_dir), ["tensorboard"] if log_dir else []))
        model.learn(total_timesteps, callback=None if on_step is None else _Report(on_step))
    env.close()
    settings = {
        "algorithm": algorithm,
        "seed": seed,
        "reward": reward,
        "reward_options": reward_options or {},
        "total_timesteps": total_timesteps,
        "fingerprint": traces.info.get("fingerprint"),
    }
    policy = LearnedPolicy.of(model, observation=observation, settings=settings)
    if target_timesteps is None:
        return policy
    return calibrate(policy, calibration, target_timesteps=target_timesteps)


class _Report(BaseCallback):
    def __init__(self, report: Callable[[int], None]) -> None:
        super().__init__()
        self.report = report

    def _on_step(self) -> bool:
        self.report(self.num_timesteps)
        return True
