"""Frames a second of the environments' pictures, on one core.

python benchmarks/environments/rendering.py

Contenders take turns, 15 rounds of 0.2 s; the table has medians [quartiles]. It is printed: no page states a figure.
"""

import argparse

import numpy as np
from timing import race

from agents.commands import machine
from seenn_env.rendering import Episode, ansi, rgb_array


def make_episode(T: int, K: int, shape: tuple[int, ...]) -> Episode:
    """An exit after half of the timesteps, with an image and 512 neurons."""
    rng = np.random.default_rng(0)
    t = T // 2
    return Episode(
        logits=rng.normal(size=(t, K)),
        label=1,
        timesteps=T,
        exited=True,
        image=rng.integers(256, size=shape, dtype=np.uint8),
        spikes=rng.random((t, 512)),
    )


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    digits, imagenet = make_episode(8, 10, (1, 8, 8)), make_episode(32, 1000, (3, 224, 224))
    contenders = {
        "rgb_array, T = 8, K = 10": lambda: len([rgb_array(digits)]),
        "rgb_array, T = 32, K = 1000": lambda: len([rgb_array(imagenet)]),
        "ansi, T = 8, K = 10": lambda: len([ansi(digits)]),
        "ansi, T = 32, K = 1000": lambda: len([ansi(imagenet)]),
    }
    print(machine())
    for name, (low, middle, high) in race(contenders).to_dict().items():
        print(f"{name:<30} {middle:>7.0f} [{low:.0f}, {high:.0f}] frames/s")


if __name__ == "__main__":
    main()
