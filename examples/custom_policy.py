"""A bare class with `predict` is a policy: evaluate it, and compare it with a rule at equal mean timesteps.

python examples/custom_policy.py
"""

from dataclasses import dataclass

import numpy as np

import agents
import seenn_env
from agents.comparison import Comparison

NAMES = seenn_env.make_observation("features", timesteps=8, num_classes=10).names
MARGIN, AGREEMENT = NAMES.index("margin"), NAMES.index("agreement")


@dataclass(frozen=True)
class WaitForAgreement:
    """Exits when the margin is wide, or when the prediction has stayed the same `patience` times in a row."""

    margin: float = 0.5
    patience: int = 2
    observation = "features"  # read by `predict`

    def predict(
        self,
        observation: np.ndarray,
        state: np.ndarray | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Actions `[B]` (0 continue, 1 exit); the state counts agreements, and is None at the first timestep."""
        before = np.zeros(len(observation)) if state is None else np.where(episode_start, 0, state)
        agreements = np.where(observation[:, AGREEMENT] == 1, before + 1, 0)
        exits = (observation[:, MARGIN] >= self.margin) | (agreements >= self.patience)
        return exits.astype(np.int64), agreements


def main() -> Comparison:
    """Match a margin rule on split "calibration", compare on "test"."""
    traces = seenn_env.Traces.load("digits")
    policy, calibration = WaitForAgreement(), traces.select("calibration")

    result = seenn_env.evaluate(policy, calibration)
    print(f"calibration: {100 * result.accuracy:.1f} % at {result.mean_timesteps:.2f} timesteps")

    rule = agents.calibrate(agents.Margin(), calibration, target_timesteps=result.mean_timesteps)
    policies = {"wait for agreement": policy, "margin": rule, "uniform": agents.Uniform(), "oracle": agents.Oracle()}
    comparison = agents.compare(policies, traces.select("test"))
    print(comparison.table())
    return comparison


if __name__ == "__main__":
    main()
