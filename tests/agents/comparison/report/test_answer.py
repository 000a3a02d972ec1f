"""The answer of a comparison in one sentence."""

import numpy as np
import pytest

from agents.comparison import Comparison
from agents.comparison.bootstrap import DifferenceInterval, Interval
from agents.comparison.report.answer import answer, verdicts
from agents.comparison.result import Difference, Row


def row(name: str, kind: str = "learned", accuracy: float = 0.9) -> Row:
    interval = Interval(accuracy, accuracy - 0.01, accuracy + 0.01)
    target = float(name.partition(" @ ")[2] or 1.46)
    return Row(name, kind, 1, interval, target, np.array([0.5, 0.5]), (accuracy,), (target,))


def comparison(differences: dict[str, tuple[float, float]], rule: str | None = "margin") -> Comparison:
    """Of policies with these differences from the rule, and their p."""
    targets = {name.partition(" @ ")[2] for name in differences}
    rules = [row(f"{rule} @ {target}", "rule") for target in targets if rule and target]
    return Comparison(
        rows=(*rules, *map(row, differences)),
        differences=tuple(
            Difference(
                name, f"{rule} @ {name.partition(' @ ')[2]}", DifferenceInterval(gain, gain - 0.01, gain + 0.01), p
            )
            for name, (gain, p) in differences.items()
            if rule
        ),
        split="test",
        dataset="digits",
        samples=100,
        timesteps=2,
        resamples=2000,
        reference=rule,
    )


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        (
            {"PPO @ 1.2": (0.01, 0.2), "DQN @ 1.2": (0.02, 0.3), "PPO @ 1.5": (0.01, 0.2)},
            "DQN is most accurate at 1.2 timesteps, PPO at 1.5, but no policy beats the best rule (margin) by more "
            "than noise.",
        ),
        (
            {"PPO @ 1.2": (0.01, 0.01), "PPO @ 1.5": (0.01, 0.02), "DQN @ 1.5": (-0.01, 0.001)},
            "PPO is most accurate at 1.2 and 1.5 timesteps; it beats the best rule (margin) there by more than noise.",
        ),
        (
            {"PPO @ 1.2": (0.01, 0.01), "PPO @ 1.5": (-0.01, 0.02), "DQN @ 2": (0.01, 0.02)},
            "PPO is most accurate at 1.2 timesteps, DQN at 2, the best rule (margin) at 1.5; each beats the best rule "
            "there by more than noise.",
        ),
        (
            {"PPO @ 1.2": (0.03, 0.01), "DQN @ 1.2": (0.02, 0.01), "PPO @ 1.5": (0.01, 0.9)},
            "PPO is most accurate at 1.2 and 1.5 timesteps; PPO (at 1.2) and DQN (at 1.2) beat the best rule (margin) "
            "by more than noise.",
        ),
        (
            {"PPO @ 1.2": (-0.01, 0.9), "PPO @ 1.5": (-0.01, 0.01)},
            "The best rule, margin, is most accurate at 1.2 and 1.5 timesteps; no other policy beats it.",
        ),
        (
            {"PPO": (0.01, 0.01)},
            "PPO is most accurate at 1.46 timesteps; it beats the best rule (margin) there by more than noise.",
        ),
    ],
)
def test_it_names_the_highest_policies_and_whether_they_beat_the_best_rule(differences, expected):
    assert answer(comparison(differences)) == expected


def test_many_winners_are_counted():
    found = answer(comparison({f"PPO {i} @ 1.5": (0.01 * i, 0.01) for i in range(1, 6)}))
    assert found.endswith("; 5 policies beat the best rule (margin) by more than noise.")


def test_without_a_rule_nothing_is_claimed():
    found = answer(comparison({"PPO @ 1.2": (0.0, 1.0)}, rule=None))
    assert found == (
        "PPO @ 1.2 has the highest accuracy, 90.00 % at 1.20 timesteps, but there is no rule to test policies against."
    )


def test_policies_below_the_best_rule_are_told_from_noise_by_p():
    (verdict,) = verdicts(comparison({"PPO @ 1.2": (-0.01, 0.04), "DQN @ 1.2": (-0.02, 0.06)}))
    assert (verdict.leader, verdict.above, verdict.below) == ("margin", [], ["PPO"])
