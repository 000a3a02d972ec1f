"""Stable-Baselines3's PPO on the native vector environment: train, evaluate on calibration images, test once.

python examples/sb3_ppo.py
"""

from pathlib import Path

import gymnasium as gym
import torch
import tyro
from stable_baselines3 import PPO

import agents
import seenn_env


def main(
    total_timesteps: int = 300_000, num_envs: int = 1024, seed: int = 0, log_dir: Path = Path("runs/sb3_ppo")
) -> PPO:
    """Train on split "policy", evaluate on "calibration" while training and on "test" at the end.

    Args:
        total_timesteps: steps of the environment to learn from.
        num_envs: episodes side by side.
        seed: of the network, the episodes and the actions.
        log_dir: folder for TensorBoard.
    """
    torch.set_num_threads(1)  # networks this small only get slower with more
    envs = seenn_env.to_sb3(gym.make_vec("seenn_env/EarlyExit-v0", num_envs=num_envs, split="policy"))

    calibration = seenn_env.Traces.load("digits", split="calibration")
    evaluation = agents.EvaluationCallback(calibration, target_timesteps=1.5, reward="seenn")

    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=16,
        batch_size=4096,  # minibatches of thousands: the optimiser takes most of PPO's time here
        n_epochs=4,
        learning_rate=3e-3,
        gamma=1.0,  # the reward is discounted already
        device="cpu",
        seed=seed,
        tensorboard_log=str(log_dir),
    )
    model.learn(total_timesteps, callback=evaluation)

    test, reward = seenn_env.Traces.load("digits", split="test"), seenn_env.make_reward("seenn")
    result = seenn_env.evaluate(model, test, reward=reward)
    print(
        f"test: return {result.rewards.mean():.3f}, accuracy {100 * result.accuracy:.1f} % "
        f"at {result.mean_timesteps:.2f} timesteps (all {test.timesteps}: {100 * test.accuracy[-1]:.1f} %)"
    )
    return model


if __name__ == "__main__":
    tyro.cli(main)
