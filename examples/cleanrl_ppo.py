"""PPO in one file and plain torch, in the manner of CleanRL, against Gymnasium's vector API.

Vector environments reset in the same step: the observation after an episode's end is the next one's first.

python examples/cleanrl_ppo.py --seed 1 --log-dir runs/cleanrl
"""

import time
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
import tyro
from torch import nn
from torch.distributions import Categorical
from torch.utils.tensorboard import SummaryWriter

import seenn_env


@dataclass(frozen=True)
class Args:
    """PPO on seenn_env/EarlyExit-v0."""

    seed: int = 0
    """of the network, the episodes and the actions"""
    total_timesteps: int = 300_000
    """steps of the environment to learn from"""
    num_envs: int = 1024
    """episodes side by side"""
    num_steps: int = 16
    """steps of each between two updates"""
    num_minibatches: int = 4
    """into which a rollout is cut"""
    update_epochs: int = 4
    """passes over a rollout"""
    learning_rate: float = 3e-3
    """of Adam; it falls to 0 linearly"""
    gamma: float = 1.0
    """the reward is discounted already"""
    gae_lambda: float = 0.95
    """of generalised advantage estimation"""
    clip_coef: float = 0.2
    """how far the ratio of new to old probabilities may leave 1"""
    ent_coef: float = 0.0
    """weight of the entropy"""
    vf_coef: float = 0.5
    """weight of the value loss"""
    max_grad_norm: float = 0.5
    """the gradient is clipped to this norm"""
    log_dir: str | None = None
    """folder for TensorBoard"""


def layer(inputs: int, outputs: int, gain: float = 2**0.5) -> nn.Linear:
    """A linear layer with orthogonal weights."""
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


class Agent(nn.Module):
    """Actor and critic; with `predict`, `seenn_env.evaluate` takes it as it is."""

    def __init__(self, columns: int, actions: int) -> None:
        super().__init__()
        self.actor = nn.Sequential(layer(columns, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, actions, 0.01))
        self.critic = nn.Sequential(layer(columns, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 1, 1.0))

    def value(self, observation: torch.Tensor) -> torch.Tensor:
        """`[B]` expected return from here."""
        return self.critic(observation).squeeze(-1)

    @torch.no_grad()
    def predict(self, observation: np.ndarray, state: Any = None, **_: Any) -> tuple[np.ndarray, Any]:
        """The likelier action of each row, `[B]`."""
        return self.actor(torch.from_numpy(observation)).argmax(-1).numpy(), state


def main(args: Args) -> Agent:
    """Train on split "policy", evaluate on "test"."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    envs = gym.make_vec("seenn_env/EarlyExit-v0", num_envs=args.num_envs, split="policy")
    agent = Agent(envs.single_observation_space.shape[0], envs.single_action_space.n)
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    writer = SummaryWriter(args.log_dir) if args.log_dir else None

    S, B = args.num_steps, args.num_envs
    observations = torch.zeros(S, B, envs.single_observation_space.shape[0])
    actions = torch.zeros(S, B, dtype=torch.long)
    log_probs, rewards, dones, values = (torch.zeros(S, B) for _ in range(4))

    iterations = max(1, args.total_timesteps // (S * B))
    began = time.perf_counter()
    observation = torch.from_numpy(envs.reset(seed=args.seed)[0])
    for iteration in range(1, iterations + 1):
        optimizer.param_groups[0]["lr"] = args.learning_rate * (1 - (iteration - 1) / iterations)

        with torch.no_grad():
            for step in range(S):
                observations[step] = observation
                policy = Categorical(logits=agent.actor(observation))
                actions[step] = policy.sample()
                log_probs[step] = policy.log_prob(actions[step])
                values[step] = agent.value(observation)
                next_observation, reward, terminated, truncated, _ = envs.step(actions[step].numpy())
                observation = torch.from_numpy(next_observation)
                rewards[step] = torch.from_numpy(reward)
                dones[step] = torch.from_numpy(terminated | truncated)

            # δ_t = r_t + γ V_{t+1} - V_t;  A_t = δ_t + γ λ A_{t+1};  nothing flows across an episode's end.
            advantages, advantage, next_value = torch.zeros(S, B), torch.zeros(B), agent.value(observation)
            for step in reversed(range(S)):
                alive = 1 - dones[step]
                delta = rewards[step] + args.gamma * alive * next_value - values[step]
                advantage = delta + args.gamma * args.gae_lambda * alive * advantage
                advantages[step], next_value = advantage, values[step]
            returns = advantages + values

        rollout = (observations, actions, log_probs, advantages, returns)
        flat = [column.flatten(0, 1) for column in rollout]
        for _ in range(args.update_epochs):
            for rows in torch.randperm(S * B).chunk(args.num_minibatches):
                observed, taken, old_log_prob, gained, target = (column[rows] for column in flat)
                policy = Categorical(logits=agent.actor(observed))
                ratio = (policy.log_prob(taken) - old_log_prob).exp()
                gained = (gained - gained.mean()) / (gained.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                policy_loss = -torch.min(gained * ratio, gained * clipped).mean()
                value_loss = 0.5 * (agent.value(observed) - target).square().mean()
                entropy = policy.entropy().mean()
                loss = policy_loss + args.vf_coef * value_loss - args.ent_coef * entropy
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()

        charts = {
            "charts/episodic_return": (rewards.sum() / dones.sum()).item(),  # rewards come at the end only
            "charts/episodic_length": (S * B / dones.sum()).item(),
            "charts/SPS": iteration * S * B / (time.perf_counter() - began),
            "losses/policy_loss": policy_loss.item(),
            "losses/value_loss": value_loss.item(),
            "losses/entropy": entropy.item(),
        }
        print(f"{iteration * S * B:>9} steps: " + ", ".join(f"{name} {value:.4g}" for name, value in charts.items()))
        for name, value in charts.items() if writer else ():
            writer.add_scalar(name, value, iteration * S * B)

    envs.close()
    test, reward = seenn_env.Traces.load("digits", split="test"), seenn_env.make_reward("seenn")
    result = seenn_env.evaluate(agent, test, reward=reward)
    print(
        f"test: return {result.rewards.mean():.3f}, accuracy {100 * result.accuracy:.1f} % "
        f"at {result.mean_timesteps:.2f} timesteps (all {test.timesteps}: {100 * test.accuracy[-1]:.1f} %)"
    )
    return agent


if __name__ == "__main__":
    main(tyro.cli(Args))
