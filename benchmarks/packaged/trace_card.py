"""Figures of traces for a card: accuracies and the oracle.

python benchmarks/packaged/trace_card.py seenn_env/data/cifar10-jpeg.safetensors
"""

import argparse

import numpy as np

from seenn_env import Traces


def table(traces: Traces) -> str:
    """A row a split: accuracy at each timestep, oracle, AET, empirical AET, OCT."""
    T = traces.timesteps
    heads = [*(f"t = {t}" for t in range(1, T + 1)), "oracle", "AET", "empirical AET", "OCT"]
    lines = [f"| split | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}"]
    for name in traces.split.split("+"):
        part = traces.select(name)
        ever = part.correct.any(1)
        oracle = f"{100 * ever.mean():.2f} @ {np.where(ever, part.first_correct, 1).mean():.3f}"
        cells = [*(f"{100 * a:.2f}" for a in part.accuracy), oracle]
        cells += [f"{value:.3f}" for value in (part.aet, part.empirical_aet, part.oct)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traces")
    given = Traces.load(parser.parse_args().traces)
    print(table(given))
    print(f"\nfingerprint {given.info.get('fingerprint')}")
