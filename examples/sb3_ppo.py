"""Stable-Baselines3's PPO on the native vector environment: train, watch on calibration images, test once.

python examples/sb3_ppo.py
"""

import gymnasium as gym
import torch
import tyro
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback

import seenn_env


def main(total_timesteps: int = 300_000, num_envs: int = 1024, seed: int = 0) -> PPO:
    """Train on split "policy", evaluate on "calibration" while training and on "test" at the end.

    Args:
        total_timesteps: steps of the environment to learn from.
        num_envs: episodes side by side.
        seed: of the network, the episodes and the actions.
    """
    torch.set_num_threads(1)  # networks this small only get slower with more
    envs = seenn_env.to_sb3(gym.make_vec("seenn_env/EarlyExit-v0", num_envs=num_envs, split="policy"))

    # One slot for each row, in their order: every evaluation sees each calibration image exactly once.
    rows = len(seenn_env.Traces.load("digits", split="calibration"))
    held_out = seenn_env.to_sb3(
        gym.make_vec("seenn_env/EarlyExit-v0", num_envs=rows, split="calibration", order="sequential")
    )
    every = max(1, total_timesteps // num_envs // 4)
    watch = EvalCallback(held_out, n_eval_episodes=rows, eval_freq=every, verbose=1)

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
    )
    model.learn(total_timesteps, callback=watch)

    test, reward = seenn_env.Traces.load("digits", split="test"), seenn_env.make_reward("seenn")
    result = seenn_env.evaluate(model, test, reward=reward)
    print(
        f"test: return {result.rewards.mean():.3f}, accuracy {100 * result.accuracy:.1f} % "
        f"at {result.mean_timesteps:.2f} timesteps (all {test.timesteps}: {100 * test.accuracy[-1]:.1f} %)"
    )
    return model


if __name__ == "__main__":
    tyro.cli(main)
