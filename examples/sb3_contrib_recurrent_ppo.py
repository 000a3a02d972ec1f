"""sb3-contrib's RecurrentPPO: a policy with a memory, compared with a rule at equal mean timesteps.

pip install sb3-contrib; python examples/sb3_contrib_recurrent_ppo.py
"""

import gymnasium as gym
import torch
import tyro
from sb3_contrib import RecurrentPPO

import agents
import seenn_env


def main(total_timesteps: int = 50_000, num_envs: int = 32, seed: int = 0) -> RecurrentPPO:
    """Train on split "policy", match a margin rule on "calibration", compare on "test".

    Args:
        total_timesteps: steps of the environment to learn from.
        num_envs: episodes side by side.
        seed: of the network, the episodes and the actions.
    """
    torch.set_num_threads(1)  # networks this small only get slower with more
    envs = seenn_env.to_sb3(gym.make_vec("seenn_env/EarlyExit-v0", num_envs=num_envs, split="policy"))
    model = RecurrentPPO(
        "MlpLstmPolicy",
        envs,
        n_steps=64,
        batch_size=512,
        n_epochs=4,
        learning_rate=3e-3,
        gamma=1.0,  # the reward is discounted already
        policy_kwargs={"lstm_hidden_size": 32, "shared_lstm": True, "enable_critic_lstm": False},
        device="cpu",
        seed=seed,
    )
    model.learn(total_timesteps)

    # `evaluate` and `compare` hand the LSTM's state from one timestep to the next.
    traces = seenn_env.Traces.load("digits")
    calibration = traces.select("calibration")
    spent = seenn_env.evaluate(model, calibration).mean_timesteps
    rule = agents.calibrate(agents.Margin(), calibration, target_timesteps=spent)
    print(agents.compare({"RecurrentPPO": model, "margin": rule}, traces.select("test")).table())
    return model


if __name__ == "__main__":
    tyro.cli(main)
