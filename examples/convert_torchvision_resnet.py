"""A torchvision ResNet learns digits, becomes a spiking network, and PPO learns when it may stop."""

import torch
from torch import nn
from torchvision.models import resnet18

import agents
import backbones as bb
import seenn_env
from agents.comparison import Comparison
from backbones import convert


def main(epochs: int = 5, timesteps: int = 32, total_timesteps: int = 100_000) -> Comparison:
    """Train, convert, record; learn on "policy", set to 6 timesteps on "calibration", compare on "test"."""
    splits = bb.load_dataset("digits")
    images, labels = torch.from_numpy(splits.train.images), torch.from_numpy(splits.train.labels)
    torch.manual_seed(0)
    model = resnet18()
    model.conv1 = nn.Conv2d(1, 64, 3, padding=1, bias=False)
    model.maxpool = nn.AvgPool2d(2)  # before training: averages of spikes are exact, maxima are not
    model.layer4, model.fc = nn.Identity(), nn.Linear(256, 10)  # enough for 8 × 8 pixels
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows] / 255), labels[rows]).backward()
            optimizer.step()
    network = convert(model, images, timesteps=timesteps)
    recorded = (seenn_env.record(network, splits[name], batch_size=100) for name in ("policy", "calibration", "test"))
    traces = seenn_env.Traces.merge(*recorded)
    policies = {f"fixed t={t}": agents.FixedTimestep(t) for t in (1, 6, timesteps)}
    policies["SEENN-II"] = agents.train("ppo", traces, target_timesteps=6, total_timesteps=total_timesteps)
    comparison = agents.compare(policies, traces.select("test"))
    print(comparison.table())
    return comparison


if __name__ == "__main__":
    main()
