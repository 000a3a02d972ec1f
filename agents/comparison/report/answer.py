"""The answer of a comparison: the highest policy at each target, and whether it beats the best rule by more than noise.

Differences are those at equal mean timesteps; p-values are adjusted for all differences of the comparison.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.comparison.result import Comparison, Difference, Row, family_of

LEVEL = 0.05
"""A difference with an adjusted p below it is more than noise."""


@dataclass(frozen=True)
class Verdict:
    """The policies of one target against the best rule."""

    timesteps: str
    """The target, or the mean timesteps of a policy without one."""
    rule: str
    """The best rule."""
    differences: tuple[Difference, ...]
    """From the best rule, the highest first."""

    @property
    def leader(self) -> str:
        """The policy with the highest accuracy at equal mean timesteps, the best rule included."""
        best = self.differences[0]
        return family_of(best.policy) if best.interval.estimate > 0 else self.rule

    @property
    def above(self) -> list[str]:
        """Policies that beat the best rule by more than noise."""
        return [family_of(each.policy) for each in self.differences if each.interval.estimate > 0 and _clear(each)]

    @property
    def below(self) -> list[str]:
        """Policies that the best rule beats by more than noise."""
        return [family_of(each.policy) for each in self.differences if each.interval.estimate < 0 and _clear(each)]


def verdicts(comparison: Comparison) -> list[Verdict]:
    """One for each target, and for each policy without one, in ascending timesteps; none without a best rule."""
    if comparison.reference is None:
        return []
    groups: dict[str, list[Difference]] = {}
    for row in sorted(comparison.rows, key=_timesteps):
        if each := comparison.difference(row.name):
            place = f"{row.mean_timesteps:.2f}" if row.target is None else f"{row.target:g}"
            groups.setdefault(place, []).append(each)
    return [
        Verdict(place, comparison.reference, tuple(sorted(group, key=lambda each: -each.interval.estimate)))
        for place, group in groups.items()
    ]


def answer(comparison: Comparison) -> str:
    """The answer in one sentence."""
    found, rule = verdicts(comparison), comparison.reference
    if not found or rule is None:
        rows = [row for row in comparison.rows if row.kind != "reference"] or list(comparison.rows)
        best = max(rows, key=lambda row: row.accuracy.estimate)
        reason = "there is no rule to test policies against" if rule is None else f"nothing is tested against {rule}"
        return (
            f"{best.name} has the highest accuracy, {100 * best.accuracy.estimate:.2f} % at {best.mean_timesteps:.2f} "
            f"timesteps, but {reason}."
        )
    leaders = _places((verdict.leader, verdict) for verdict in found)
    above = _places((name, verdict) for verdict in found for name in verdict.above)
    if leaders.keys() == {rule}:
        return f"The best rule, {rule}, is most accurate at {leaders[rule]} timesteps; no other policy beats it."
    first = next(name for name in leaders if name != rule)
    parts = [f"{first} is most accurate at {leaders[first]} timesteps"]
    parts += [f"{name} at {places}" for name, places in leaders.items() if name not in (first, rule)]
    if rule in leaders:
        parts.append(f"the best rule ({rule}) at {leaders[rule]}")
    head, best_rule = ", ".join(parts), "the best rule" if rule in leaders else f"the best rule ({rule})"
    if not above:
        return f"{head}, but no policy beats {best_rule} by more than noise."
    if above == {name: places for name, places in leaders.items() if name != rule}:
        return f"{head}; {'it beats' if len(above) == 1 else 'each beats'} {best_rule} there by more than noise."
    names = f"{len(above)} policies"
    if len(above) <= 3:
        names = _listed([f"{name} (at {places})" for name, places in above.items()])
    return f"{head}; {names} {'beats' if len(above) == 1 else 'beat'} {best_rule} by more than noise."


def _clear(difference: Difference) -> bool:
    return difference.adjusted_p < LEVEL


def _timesteps(row: Row) -> float:
    return row.mean_timesteps if row.target is None else row.target


def _places(pairs: Iterable[tuple[str, Verdict]]) -> dict[str, str]:
    """By policy, its timesteps in words."""
    places: dict[str, list[str]] = {}
    for name, verdict in pairs:
        places.setdefault(name, []).append(verdict.timesteps)
    return {name: _listed(each) for name, each in places.items()}


def _listed(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
