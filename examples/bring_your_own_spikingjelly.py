"""A SpikingJelly network, as it is: wrap it, record it, learn when to exit. Needs the extra `spikingjelly`."""

import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

import agents
import backbones as bb
import seenn_env
from backbones.adapters import wrap


def main(epochs: int = 20, total_timesteps: int = 200_000) -> seenn_env.Evaluation:
    """Train on digits in SpikingJelly's way; SEENN-II learns on `policy` and is set on `calibration`."""
    torch.manual_seed(0)
    splits, T = bb.load_dataset("digits"), 8
    hidden = [layer.Linear(64, 64), neuron.LIFNode(v_threshold=0.5), layer.Linear(64, 64), neuron.LIFNode()]
    net = nn.Sequential(layer.Flatten(), *hidden, layer.Linear(64, 10))
    images, labels = torch.from_numpy(splits.train.images / 255).float(), torch.from_numpy(splits.train.labels)
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    for rows in [rows for _ in range(epochs) for rows in torch.randperm(len(images)).split(50)]:
        functional.reset_net(net)
        outputs = sum(net(torch.bernoulli(images[rows])) for _ in range(T)) / T
        optimizer.zero_grad()
        nn.functional.cross_entropy(outputs, labels[rows]).backward()
        optimizer.step()

    backbone = wrap(net.eval(), splits.train.images[:8], timesteps=T, encoding="poisson")
    parts = [seenn_env.record(backbone, split, repeats=10) for split in (splits.policy, splits.calibration)]
    traces = seenn_env.Traces.merge(*parts)
    policy = agents.train("ppo", traces, target_timesteps=2, total_timesteps=total_timesteps)
    result = seenn_env.evaluate(policy, seenn_env.record(backbone, splits.test, repeats=10))
    print(f"SEENN-II: {100 * result.accuracy:.1f} % right at {result.mean_timesteps:.2f} of {T} timesteps")
    return result


if __name__ == "__main__":
    main()
