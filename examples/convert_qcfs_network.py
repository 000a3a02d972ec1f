"""A network laid out as in QCFS's and SEENN's own code learns digits and becomes a spiking network.

Put your own in the place of `VGG`: build it, `load_state_dict` its checkpoint, keep its T at 0 (without time).
"""

import numpy as np
import torch
from torch import Tensor, nn

import backbones as bb
from backbones import convert
from backbones.contract import accuracy, make_keys


class Floor(torch.autograd.Function):
    """Rounds down; backwards it counts as the identity."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        """The largest whole numbers below."""
        return x.floor()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        """The gradient as it is."""
        return gradient


class IF(nn.Module):
    """Their activation: QCFS of L levels and a learned threshold where T is 0, and neurons over T timesteps else."""

    def __init__(self, T: int = 0, L: int = 8, thresh: float = 4.0) -> None:
        super().__init__()
        self.T, self.L = T, L
        self.thresh = nn.Parameter(torch.tensor([thresh]))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, …]` to the same, or `[T·B, …]` where T is above 0."""
        if self.T == 0:
            x = torch.clamp(x / self.thresh, 0, 1)
            return Floor.apply(x * self.L + 0.5) / self.L * self.thresh
        v, spikes = 0.5 * self.thresh, []
        for current in x.view(self.T, -1, *x.shape[1:]):
            v = v + current
            spikes.append((v >= self.thresh).float() * self.thresh)
            v = v - spikes[-1]
        return torch.cat(spikes)


class VGG(nn.Module):
    """A small VGG: stages of convolution, norm, IF and dropout, average pools, a classifier."""

    def __init__(self, num_classes: int = 10, dropout: float = 0.1) -> None:
        super().__init__()
        self.layer1 = self.stage(1, 16, dropout)
        self.layer2 = self.stage(16, 32, dropout)
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(32 * 2 * 2, 64), IF(), nn.Dropout(dropout), nn.Linear(64, num_classes)
        )

    @staticmethod
    def stage(before: int, after: int, dropout: float) -> nn.Sequential:
        """Of half the height and width."""
        conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(after), IF(), nn.Dropout(dropout), nn.AvgPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        """`[B, 1, 8, 8]` to logits `[B, K]`."""
        return self.classifier(self.layer2(self.layer1(x)))


def main(epochs: int = 12, timesteps: int = 32) -> tuple[float, np.ndarray]:
    """Train, convert; the accuracy on "test" without time, and after each timestep `[T]`."""
    splits = bb.load_dataset("digits")
    images, labels = torch.from_numpy(splits.train.images), torch.from_numpy(splits.train.labels)
    torch.manual_seed(0)
    model = VGG()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(25):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[rows] / 255), labels[rows]).backward()
            optimizer.step()
    # Such modules are recognised; `activations` names others.
    network = convert(model, images, timesteps=timesteps, activations={IF: lambda part: (part.thresh, part.L)})
    test = splits.test
    with torch.no_grad():
        answers = model.eval()(torch.from_numpy(test.images) / 255).argmax(1).numpy()
    before = float((answers == test.labels).mean())
    after = accuracy(network, test.images, test.labels, make_keys(test.index))
    print(f"without time: {100 * before:.2f} %")
    print(
        "after t = 1, 2, 4, …:",
        ", ".join(f"{100 * after[t - 1]:.2f} %" for t in (1, 2, 4, 8, 16, 32) if t <= timesteps),
    )
    return before, after


if __name__ == "__main__":
    main()
