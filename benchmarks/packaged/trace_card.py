"""Figures of traces for a card and for the table of registered environments: accuracies, oracle, reference scores.

    python benchmarks/packaged/trace_card.py seenn_env/data/cifar10-jpeg.safetensors

Prints the card's table, and the reference scores on the split policy under the reward "seenn" as the code that
`seenn_env/registration.py` holds.
"""

import argparse

import numpy as np

from seenn_env import Traces, make_reward
from seenn_env.environments import ReferenceScores, reference_scores


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


def code(scores: ReferenceScores) -> str:
    """The scores, rounded, as they stand in `seenn_env/registration.py`."""

    def one(score: object) -> str:
        values = (getattr(score, name) for name in ("reward", "accuracy", "mean_timesteps"))
        return f"Score({', '.join(f'{value:.4f}' for value in values)})"

    rewards = ", ".join(f"{score.reward:.4f}" for score in scores.fixed)
    accuracies = ", ".join(f"{score.accuracy:.4f}" for score in scores.fixed)
    return (
        f"_scores(random={one(scores.random)}, rewards=({rewards},), accuracies=({accuracies},), "
        f"oracle={one(scores.oracle)}, best_rule={one(scores.best_rule)})"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traces")
    given = Traces.load(parser.parse_args().traces)
    print(table(given))
    print(f"\nfingerprint {given.info.get('fingerprint')}\n")
    print(code(reference_scores(given.select("policy"), make_reward("seenn"))))
