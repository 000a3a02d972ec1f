"""The registered environments, from one table, each with its reference scores.

The scores are exact means over the rows of split "policy" of the packaged traces, in the environment's own
reward (see `references.reference_scores`); a policy has solved it when its mean reward exceeds the best rule's, or
the best fixed timestep's where no rule applies.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym

from seenn_env.environments.reference_policies import ReferenceScores, Score


def _scores(
    *, random: Score, rewards: tuple[float, ...], accuracies: tuple[float, ...], oracle: Score, best_rule: Score
) -> ReferenceScores:
    """Reference scores; rewards and accuracies are `[T]`, of the fixed timesteps."""
    fixed = tuple(Score(*score, t) for t, score in enumerate(zip(rewards, accuracies, strict=True), 1))
    return ReferenceScores(random, fixed, oracle, best_rule)


_SEQUENTIAL_SEENN = _scores(
    random=Score(0.5357, 0.9288, 1.9922),
    rewards=(0.7893, 0.4293, 0.2119, 0.0950, 0.0389, 0.0110, -0.0027, -0.0093),
    accuracies=(0.8947, 0.9528, 0.9695, 0.9733, 0.9778, 0.9803, 0.9820, 0.9830),
    oracle=Score(0.9212, 0.9888, 1.1510),
    best_rule=Score(0.8204, 0.9350, 1.1533),
)
_SEQUENTIAL_LINEAR = _scores(
    random=Score(0.9146, 0.9288, 1.9922),
    rewards=(0.8947, 0.9385, 0.9409, 0.9305, 0.9207, 0.9089, 0.8963, 0.8830),
    accuracies=(0.8947, 0.9528, 0.9695, 0.9733, 0.9778, 0.9803, 0.9820, 0.9830),
    oracle=Score(0.9867, 0.9888, 1.1510),
    best_rule=Score(0.9587, 0.9745, 2.1057),
)
_HIDDEN_SEENN = _scores(
    random=Score(0.5327, 0.9271, 1.9922),
    rewards=(0.7867, 0.4200, 0.2167, 0.0988, 0.0342, 0.0106, -0.0047, -0.0123),
    accuracies=(0.8933, 0.9467, 0.9733, 0.9767, 0.9733, 0.9800, 0.9800, 0.9800),
    oracle=Score(0.9183, 0.9867, 1.1367),
    best_rule=Score(0.8025, 0.9267, 1.2133),
)
_ONE_SHOT_SEENN = replace(_SEQUENTIAL_SEENN, random=Score(0.1954, 0.9642, 4.5000), best_rule=None)
_CIFAR10_SEENN = _scores(
    random=Score(0.3968, 0.8388, 1.8750),
    rewards=(0.6456, 0.2765, 0.0707, -0.0321),
    accuracies=(0.8228, 0.8510, 0.8566, 0.8604),
    oracle=Score(0.7415, 0.8910, 1.0978),
    best_rule=Score(0.6522, 0.8298, 1.0290),
)


@dataclass(frozen=True)
class Registered:
    """One environment of the table."""

    entry_point: str
    vector_entry_point: str | None
    scores: ReferenceScores
    kwargs: dict[str, Any] = field(default_factory=dict)
    """JSON-able arguments."""


_EARLY_EXIT = ("seenn_env.environments.early_exit:EarlyExitEnv", "seenn_env.vector.early_exit:EarlyExitVectorEnv")
_CHOOSE = (
    "seenn_env.environments.choose_timestep:ChooseTimestepEnv",
    "seenn_env.vector.choose_timestep:ChooseTimestepVectorEnv",
)
_HIDDEN = {"traces": "digits-hidden"}
_LIVE = {"backbone": "digits", "repeats": 20, "dtype": "float16"}

REGISTERED: dict[str, Registered] = {
    "seenn_env/EarlyExit-v0": Registered(*_EARLY_EXIT, _SEQUENTIAL_SEENN),
    "seenn_env/EarlyExitLogits-v0": Registered(*_EARLY_EXIT, _SEQUENTIAL_SEENN, {"observation": "logits"}),
    "seenn_env/EarlyExitLinear-v0": Registered(*_EARLY_EXIT, _SEQUENTIAL_LINEAR, {"reward": "linear"}),
    "seenn_env/EarlyExitHidden-v0": Registered(*_EARLY_EXIT, _HIDDEN_SEENN, {**_HIDDEN, "observation": "hidden"}),
    "seenn_env/EarlyExitMembrane-v0": Registered(*_EARLY_EXIT, _HIDDEN_SEENN, {**_HIDDEN, "observation": "membrane"}),
    "seenn_env/EarlyExitLive-v0": Registered(
        _EARLY_EXIT[0], "seenn_env.vector.early_exit:LiveVectorEnv", _SEQUENTIAL_SEENN, _LIVE
    ),
    "seenn_env/EarlyExit-Cifar10-v0": Registered(*_EARLY_EXIT, _CIFAR10_SEENN, {"traces": "cifar10-jpeg"}),
    "seenn_env/ChooseTimestep-v0": Registered(*_CHOOSE, _ONE_SHOT_SEENN),
    "seenn_env/ChooseTimestepFeatures-v0": Registered(*_CHOOSE, _ONE_SHOT_SEENN, {"observation": "features"}),
}


def register_all() -> None:
    """Register every environment that is not registered yet."""
    for name, entry in REGISTERED.items():
        if name not in gym.registry:
            gym.register(
                name,
                entry_point=entry.entry_point,
                vector_entry_point=entry.vector_entry_point,
                reward_threshold=entry.scores.solved,
                kwargs=entry.kwargs,
            )
